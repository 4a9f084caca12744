"""What the sandbox's owners do, by the last digit of their number, and whether somebody is at its seats."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Owner:
    """`ringing`: seconds from the first ring to the reaction; `key`: what is pressed after the menu.

    An owner who answers and presses no key hangs up at once.
    """

    reaction: Literal["answers", "declines", "is_busy", "is_out"]
    ringing: float = 4.0
    key: str | None = None


OWNERS: Final[Mapping[str, Owner]] = MappingProxyType(
    {
        "0": Owner("answers", key="1"),
        "1": Owner("answers", key="1"),
        "2": Owner("answers", key="1"),
        "3": Owner("answers", key="1"),
        "4": Owner("answers", key="1"),
        "5": Owner("answers", key="2"),
        "6": Owner("is_busy"),
        "7": Owner("is_out"),
        "8": Owner("declines"),
        "9": Owner("answers"),
    }
)

_SINGLE: Final[Mapping[str, Owner]] = MappingProxyType(
    {"13900000100": Owner("answers", key="0"), "13900000121": Owner("answers", key="1")}
)
"""Numbers that decide as a whole, as with the owners that `make stack` calls."""


def owner_of(number: str) -> Owner:
    """Return who answers the phone with this number."""
    return _SINGLE.get(number) or OWNERS[number[-1]]


def seat_answers(name: str) -> bool:
    """Tell whether somebody is at the seat: always, unless its name ends in x (B7)."""
    return bool(name) and not name.endswith("x")


# Seconds, as with real owners and the real prompts.
UNTIL_RINGING: Final = 1.0
GREETING: Final = 9.0
MENU: Final = 9.0
UNTIL_KEY: Final = 2.0
GOODBYE: Final = 4.0
UNTIL_SEAT_ANSWERS: Final = 3.0
TALK: Final = 30.0
"""An operator's conversation with an owner; the seat hangs up first."""
UNTIL_HUNG_UP: Final = 0.5
