"""The guard at the dialer's door: what is due → what may be dialled, what is withheld, what waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.outbound.guard.counts import Counts
from services.outbound.guard.verdict import Allowed, Candidate, Reason, Rules, Wait, Withheld, judge


@dataclass(slots=True)
class Sorted:
    """Rows of the queue by what becomes of them."""

    allowed: list[Any] = field(default_factory=list)
    withheld: list[tuple[Any, Reason]] = field(default_factory=list)
    wait_until: datetime | None = None
    """When the first of those that wait for their trunk may be dialled; None when none waits."""


class Gate:
    """Judges what is about to be claimed, in the transaction of the claim.

    That nobody else claims meanwhile is up to the caller: two claims at a time could both take a last place.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._counts = Counts(rules)

    @property
    def limits_anything(self) -> bool:
        """Whether claims have to come one after the other."""
        return self._rules.limit_anything

    async def sort(
        self, session: AsyncSession, due: Sequence[Any], trunks: Sequence[str], now: datetime
    ) -> Sorted:
        """Judge rows with `id`, `number_index`, `callees`, `vehicle`, `operator` and `moved`, in their order.

        `trunks`: which trunk each of them would be placed over.
        """
        found = Sorted()
        if not due:
            return found
        candidates = [
            Candidate(
                callee=row.callees[row.number_index],
                callees=frozenset(row.callees),
                vehicle=row.vehicle,
                operator=row.operator,
                trunk=trunk,
                moved=row.moved,
            )
            for row, trunk in zip(due, trunks, strict=True)
        ]
        past = await self._counts.load(session, candidates, now)
        for row, candidate in zip(due, candidates, strict=True):
            match judge(candidate, past, self._rules, now):
                case Allowed():
                    past.place(candidate, self._rules, row.id, now)
                    found.allowed.append(row)
                case Withheld(reason=reason):
                    found.withheld.append((row, reason))
                case Wait(until=until):
                    found.wait_until = min(until, found.wait_until or until)
        return found
