"""What the desk's line is told, as names of prompts (C3). Pure."""

from services.common.speech import DESK_PHRASES, UnspeakablePlateError, speak


def escalation_words(reason: str, plate: str | None) -> tuple[str, ...]:
    """Return the prompts that say that an escalation waits: why, and for which car.

    Place and situation are free text and are on the screen. A plate that cannot be spoken is left out.
    """
    words = ["desk-head", "desk-escalation"]
    if f"desk-r-{reason}" in DESK_PHRASES:
        words.append(f"desk-r-{reason}")
    return (*words, *_plate_words(plate), "desk-confirm")


def notice_words(*, recovered: bool, drill: bool) -> tuple[str, ...]:
    """Return the prompts that say that the service has failed, or works again (C4)."""
    words = ["desk-head", *(["desk-drill"] if drill else []), "desk-recovery" if recovered else "desk-fault"]
    return (*words, "desk-confirm")


def _plate_words(plate: str | None) -> tuple[str, ...]:
    try:
        tokens = speak(plate or "").split("-")
    except UnspeakablePlateError:
        return ()
    return ("desk-plate", *(f"c-{token}" for token in tokens))
