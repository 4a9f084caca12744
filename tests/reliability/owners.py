"""Who is called: a number of its own for every call, and an owner who plays one outcome."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.stack.owners import SCENARIO, Owners
from services.common.events import AttemptOutcome, ContactOutcome

_BY_LAST_DIGIT: Final[dict[AttemptOutcome, str]] = {
    "agreed": "1",
    "disputed": "5",
    "busy": "6",
    "no_answer": "7",
    "declined": "8",
    "hung_up": "9",
}
_BY_LAST_THREE: Final[dict[AttemptOutcome, str]] = {
    "wanted_operator": "100",
    "refused": "103",
    "no_input": "110",
    "unallocated": "404",
    "congestion": "503",
}
PLAYED: Final[tuple[AttemptOutcome, ...]] = (*_BY_LAST_DIGIT, *_BY_LAST_THREE)
"""What an owner can be asked to play."""
ANSWERED: Final[frozenset[AttemptOutcome]] = frozenset(
    {"agreed", "disputed", "refused", "wanted_operator", "no_input", "hung_up"}
)
"""Played with the phone taken up: Asterisk writes these down, so they are never unknown while it lives."""
CONCLUSIONS: Final[dict[AttemptOutcome, ContactOutcome]] = {
    "agreed": "agreed",
    "disputed": "disputed",
    "refused": "refused",
    "wanted_operator": "wanted_operator",
    "unallocated": "no_numbers",
}
"""How a contact with one number ends on an outcome; those that are not here end `exhausted`."""


def conclusion_of(outcome: AttemptOutcome) -> ContactOutcome:
    """How a contact with one number ends when its owner plays this."""
    return CONCLUSIONS.get(outcome, "exhausted")


def numbers(outcome: AttemptOutcome) -> Iterator[str]:
    """Numbers that nobody else has, of owners who play this."""
    for serial in itertools.count():
        yield number(outcome, serial)


def number(outcome: AttemptOutcome, serial: int) -> str:
    """The `serial`-th number (0 to 99,999) of owners who play this."""
    if outcome in _BY_LAST_DIGIT:
        return f"138{serial:07d}{_BY_LAST_DIGIT[outcome]}"
    return f"139{serial:05d}{_BY_LAST_THREE[outcome]}"


def make_owners(directory: Path, *, press_after: float) -> Owners:
    """The stack's own owners, where the single numbers of its scenario are families of numbers."""
    text = re.sub(r"sip:13900000(\d{3})@", r"sip:139[0-9]{5}\1@", SCENARIO.read_text("utf-8"))
    return Owners(directory, press_after=press_after, scenario=text)
