"""Whether to try again, which number and when (B6): a pure decision from what was tried so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.common.events import AttemptOutcome, ContactOutcome
from services.common.settings import RedialRules
from services.outbound.lines import Route

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


Reason = Literal["trunk_failed_unrung", "rule", "next_number"]
"""Why there is a further attempt: its trunk failed and no phone rang; the outcome's rule; another number."""
MOST_MOVES: Final = 3
"""How many further trunks one call is offered to at once."""


@dataclass(frozen=True, slots=True)
class Try:
    """One finished attempt: which of the contact's numbers was rung, how that ended, and where it was placed.

    `unrung`: it ended by a failure of its trunk that proves that no phone rang. `moved`: it followed such a
    one at once, over another trunk.
    """

    number_index: int
    outcome: AttemptOutcome
    route: Route | None = None
    moved: bool = False
    unrung: bool = False


@dataclass(frozen=True, slots=True)
class Redial:
    """Ring number `number_index` after `wait` seconds, over `route` if one is given."""

    number_index: int
    wait: float
    reason: Reason
    route: Route | None = None


@dataclass(frozen=True, slots=True)
class Conclude:
    """Nothing further is tried."""

    outcome: ContactOutcome


def next_step(
    tries: Sequence[Try], rules: RedialRules, number_count: int, routes: Sequence[Route] = ()
) -> Redial | Conclude:
    """Decide what follows the last of `tries`, which are all of a contact's, in order, at least one.

    A call that provably rang nobody, because its trunk failed, is offered at once to another one of `routes`,
    those in service, the preferred first; the waits below are not touched by that. No other one in service:
    the rule of its outcome applies, as it does to a call that may have rung (B5).

    The n-th time an outcome is met on one number, the n-th wait of its rule applies; an outcome without a
    rule, or with its waits used up, moves on to the next number at once. `no_numbers` means that every
    number proved not to exist; any other end of the list is `exhausted`.
    """
    for past in tries:
        if past.outcome in _FINAL:
            return Conclude(_FINAL[past.outcome])
    last = tries[-1]
    elsewhere = _elsewhere(tries, routes) if last.unrung else None
    if elsewhere is not None:
        return Redial(last.number_index, 0.0, "trunk_failed_unrung", elsewhere)
    waits: list[float] = getattr(rules, last.outcome, [])
    following = (*tries[1:], None)
    times = sum(
        (past.number_index, past.outcome) == (last.number_index, last.outcome)
        and not (then is not None and then.moved)
        for past, then in zip(tries, following, strict=True)
    )
    if times <= len(waits):
        return Redial(last.number_index, waits[times - 1], "rule")
    if last.number_index + 1 < number_count:
        return Redial(last.number_index + 1, 0.0, "next_number")
    wrong_numbers = all(past.outcome == "unallocated" for past in tries)
    return Conclude("no_numbers" if wrong_numbers else "exhausted")


def _elsewhere(tries: Sequence[Try], routes: Sequence[Route]) -> Route | None:
    """Return where the last call, which rang nobody, may go at once: where it was not; other trunks first."""
    tried = []
    for past in reversed(tries):
        tried.append(past.route)
        if not past.moved:
            break
    if len(tried) > MOST_MOVES:
        return None
    trunks = {route.trunk for route in tried if route is not None}
    untried = [route for route in routes if route not in tried]
    return next((route for route in untried if route.trunk not in trunks), None) or next(iter(untried), None)
