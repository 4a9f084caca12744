"""What was dialled before, for all candidates of a claim in one statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy import (
    cast as sql_cast,
)
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.call_rules import Window
from services.common.database import UtcDateTime
from services.common.membership import among
from services.outbound.guard.verdict import Candidate, Counted, Dialled, Past, Rules, Tally
from services.outbound.models import DeclinedNumber
from services.outbound.rows import ATTEMPTS, CONTACTS

_DECLINED: Final = cast(Table, DeclinedNumber.__table__)
_KEYS: Final[dict[Counted, ColumnElement[Any]]] = {
    "operator": ATTEMPTS.c.operator,
    "trunk": ATTEMPTS.c.trunk,
    "service": literal_column("''"),
}


class Counts:
    """Reads the past of candidates, as far as `rules` ask for it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._counted: dict[Counted, tuple[Window, ...]] = {
            "operator": rules.operator,
            "trunk": rules.trunk,
            "service": rules.service,
        }
        self._statement = self._build()

    async def load(self, session: AsyncSession, candidates: Sequence[Candidate], now: datetime) -> Past:
        """Return what was dialled until now. One statement, whatever the number of candidates."""
        values: dict[str, Any] = {
            "callees": sorted({callee for candidate in candidates for callee in candidate.callees}),
            "vehicles": sorted({candidate.vehicle for candidate in candidates}),
            "operators": sorted({candidate.operator for candidate in candidates}),
            "trunks": sorted({candidate.trunk for candidate in candidates}),
        }
        values |= {
            f"since_{kind}_{place}": now - window.length
            for kind, windows in self._counted.items()
            for place, window in enumerate(windows)
        }
        values["since"] = now - max(
            (windows[-1].length for windows in (self._rules.number, self._rules.owner) if windows),
            default=now - now,
        )
        past = Past()
        seen: set[str] = set()
        for what, key, other, place, calls, at in await session.execute(self._statement, values):
            match what:
                case "declined":
                    past.declined.add(key)
                case "call":
                    call_id, callee = key[:32], key[32:]
                    if call_id not in seen:  # found by its number and by its vehicle
                        seen.add(call_id)
                        past.add(Dialled(call_id, at, callee, other))
                case _ if calls:
                    past.tallies[what, place, key] = Tally(calls, at)
        return past

    def _build(self) -> CompoundSelect[Any]:
        declined = select(
            literal_column("'declined'"),
            _DECLINED.c.callee,
            literal_column("''"),
            literal_column("0"),
            literal_column("1"),
            sql_cast(null(), UtcDateTime),
        ).where(among(_DECLINED.c.callee, "callees"))
        arms = [declined]
        if self._rules.number or self._rules.owner:
            arms.append(_calls(among(ATTEMPTS.c.callee, "callees")))
        if self._rules.owner:
            arms.append(_calls((CONTACTS.c.vehicle != "") & among(CONTACTS.c.vehicle, "vehicles")))
        for kind, windows in self._counted.items():
            arms += [_tally(kind, place) for place in range(len(windows))]
        return union_all(*arms)


def _calls(whose: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            literal_column("'call'"),
            ATTEMPTS.c.id + ATTEMPTS.c.callee,
            CONTACTS.c.vehicle,
            literal_column("0"),
            literal_column("1"),
            ATTEMPTS.c.dialed_at,
        )
        .join_from(ATTEMPTS, CONTACTS)
        .where(whose, ATTEMPTS.c.dialed_at > bindparam("since"), ATTEMPTS.c.moved.is_(False))
    )


def _tally(kind: Counted, place: int) -> Select[Any]:
    """Nothing limits these counts but the limit itself: what it lets through is what is counted."""
    key = _KEYS[kind]
    statement = select(
        literal_column(f"'{kind}'"),
        key,
        literal_column("''"),
        literal_column(str(place)),
        func.count(),
        func.min(ATTEMPTS.c.dialed_at),
    ).where(ATTEMPTS.c.dialed_at > bindparam(f"since_{kind}_{place}"))
    if kind == "service":
        return statement
    return statement.where(among(key, f"{kind}s")).group_by(key)
