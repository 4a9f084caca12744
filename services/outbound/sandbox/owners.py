"""What the owners of the sandbox do, by the last digit of their number, and how long they take."""

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

# Seconds, as with real owners and the real prompts.
UNTIL_RINGING: Final = 1.0
GREETING_AND_MENU: Final = 18.0
UNTIL_KEY: Final = 2.0
GOODBYE: Final = 4.0
UNTIL_HUNG_UP: Final = 0.5
