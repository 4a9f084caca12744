"""Whether to try again, which number and when (B6): a pure decision from what was tried so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.common.events import AttemptOutcome, ContactOutcome
from services.common.settings import RedialRules

ANSWERS: Final[dict[AttemptOutcome, ContactOutcome]] = {
    "agreed": "agreed",
    "disputed": "disputed",
    "refused": "refused",
    "wanted_operator": "wanted_operator",
}
"""What an owner can decide with a key; nobody else is called after that."""

_FINAL: Final[dict[AttemptOutcome, ContactOutcome]] = ANSWERS | {
    "withheld": "withheld",  # the guard's word stands for the contact; a person decides
    "failed": "failed",  # a fault of ours: ringing again would only repeat it
    "unknown": "unknown",  # the owner may have been reached; only a person may decide (B5)
}


@dataclass(frozen=True, slots=True)
class Try:
    """One finished attempt: which of the contact's numbers was rung, and how that ended."""

    number_index: int
    outcome: AttemptOutcome


@dataclass(frozen=True, slots=True)
class Redial:
    """Ring number `number_index` after `wait` seconds."""

    number_index: int
    wait: float


@dataclass(frozen=True, slots=True)
class Conclude:
    """Nothing further is tried."""

    outcome: ContactOutcome


def next_step(tries: Sequence[Try], rules: RedialRules, number_count: int) -> Redial | Conclude:
    """Decide what follows the last of `tries`, which are all of a contact's, in order, at least one.

    The n-th time an outcome is met on one number, the n-th wait of its rule applies; an outcome without a
    rule, or with its waits used up, moves on to the next number at once. `no_numbers` means that every
    number proved not to exist; any other end of the list is `exhausted`.
    """
    for past in tries:
        if past.outcome in _FINAL:
            return Conclude(_FINAL[past.outcome])
    last = tries[-1]
    waits: list[float] = getattr(rules, last.outcome, [])
    times = sum(past == last for past in tries)
    if times <= len(waits):
        return Redial(last.number_index, waits[times - 1])
    if last.number_index + 1 < number_count:
        return Redial(last.number_index + 1, 0.0)
    wrong_numbers = all(past.outcome == "unallocated" for past in tries)
    return Conclude("no_numbers" if wrong_numbers else "exhausted")
