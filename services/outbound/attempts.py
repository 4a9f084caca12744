"""One attempt's life: its states and what moves it between them, in one table."""

from enum import StrEnum
from typing import Final

from services.common.events import AttemptState


class Trigger(StrEnum):
    """What can happen to an attempt."""

    CLAIMED = "claimed"
    """This instance took it from the queue, to dial it once (B5)."""
    WITHHELD = "withheld"
    """The guard kept the call back: nobody was rung (B4)."""
    WITHDRAWN = "withdrawn"
    """The contact was withdrawn before anyone was rung."""
    NOT_SENT = "not_sent"
    """Provably no phone rang: the originate never left."""
    REFUSED = "refused"
    """Asterisk did not carry the originate out."""
    RINGING = "ringing"
    ANSWERED = "answered"
    GREETING_STARTED = "greeting_started"
    GREETING_ENDED = "greeting_ended"
    KEY_PRESSED = "key_pressed"
    PROMPT_FAILED = "prompt_failed"
    SEAT_CONNECTED = "seat_connected"
    SEAT_UNAVAILABLE = "seat_unavailable"
    ENDED = "ended"
    ORIGINATE_FAILED = "originate_failed"
    """No channel came of it, or its end was not seen."""
    LEFT_ANSWER = "left_answer"
    """The dialplan wrote the owner's answer down while we were away; the call is still up."""
    LEFT_RESULT = "left_result"
    """The dialplan wrote the call's result down while we were away; the call is over."""
    LOST = "lost"
    """The call is not up, and nothing tells what became of it."""


class IllegalTransition(Exception):
    """This cannot happen to an attempt in that state."""

    def __init__(self, state: str, trigger: Trigger) -> None:
        super().__init__(f"{state} -[{trigger}]> ?")
        self.state = state
        self.trigger = trigger


_GREETED: Final = {
    # Each of these also says that the owner answered, should that itself have been missed.
    Trigger.ANSWERED: "answered",
    Trigger.GREETING_STARTED: "answered",
    Trigger.GREETING_ENDED: "answered",
    Trigger.KEY_PRESSED: "answered",
    Trigger.PROMPT_FAILED: "answered",
    Trigger.SEAT_CONNECTED: "answered",
    Trigger.SEAT_UNAVAILABLE: "answered",
    Trigger.LEFT_ANSWER: "answered",
}
_OVER: Final = {
    Trigger.ENDED: "ended",
    Trigger.ORIGINATE_FAILED: "ended",
    Trigger.LEFT_RESULT: "ended",
    Trigger.LOST: "ended",
}
_TABLE: Final[dict[AttemptState, dict[Trigger, str]]] = {
    "queued": {
        Trigger.CLAIMED: "dialing",
        Trigger.WITHHELD: "ended",
        Trigger.WITHDRAWN: "ended",
    },
    "dialing": {
        Trigger.NOT_SENT: "queued",
        Trigger.REFUSED: "ended",
        Trigger.RINGING: "ringing",
        **_GREETED,
        **_OVER,
    },
    "ringing": {
        # The network may say more than once that it rings: 180 after 183, or from each fork.
        Trigger.RINGING: "ringing",
        **_GREETED,
        **_OVER,
    },
    "answered": {
        # The menu is read twice to a silent owner, and what is left is read again after every reconnect.
        **_GREETED,
        **_OVER,
    },
    "ended": {
        # The end is reported by the channel and by the originate, and what was concluded from the dialplan's
        # note may still be reported when the link is back. The first word stands: it was published.
        **dict.fromkeys((Trigger.RINGING, *_GREETED, *_OVER), "ended"),
    },
}
TRANSITIONS: Final[dict[tuple[AttemptState, Trigger], AttemptState]] = {
    (state, trigger): target  # type: ignore[misc]
    for state, row in _TABLE.items()
    for trigger, target in row.items()
}
"""(state, trigger) → state. What is not here is illegal."""

UP: Final[tuple[AttemptState, ...]] = ("dialing", "ringing", "answered")
"""States in which a phone may be ringing or in use."""


def next_state(state: AttemptState, trigger: Trigger) -> AttemptState:
    """Return the state that follows. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise IllegalTransition(state, trigger) from None


def origins(trigger: Trigger) -> list[AttemptState]:
    """Return the states that `trigger` may move on from, for the guard of an UPDATE."""
    return [state for state, known in TRANSITIONS if known is trigger]
