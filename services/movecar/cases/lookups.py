"""Looking cases' vehicles up: one question per open case, counted and kept (A2, A3)."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from prometheus_client import Counter
from sqlalchemy import Table, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import Database
from services.common.ids import new_id
from services.common.pace import Pace
from services.common.phones import mask_phone
from services.movecar.cases.machine import AttentionReason, IllegalTransition
from services.movecar.cases.models import Case, Lookup
from services.movecar.cases.rows import CaseMoved, find_case
from services.movecar.cases.transitions import CaseRules, Move
from services.movecar.masks import mask_name
from services.movecar.plates import Color, Plate, parse
from services.movecar.registry.answers import (
    Ambiguous,
    Answer,
    Found,
    NotFound,
    Outage,
    Unavailable,
    VehicleRegistry,
)

log = structlog.get_logger(__name__)

LOOKUPS = Counter("movecar_lookups_total", "Vehicle registry lookups", ["result"])

_BATCH = 50
_PACE_EACH = 0.002
_PACE_LONGEST = 0.05
_POLL_SECONDS = 1.0
_GIVEN_UP_AFTER = timedelta(seconds=15)
"""A lookup started longer ago than this was cut off by a crash and is asked again: asking is harmless."""

_CASES = cast(Table, Case.__table__)
_WAITS = (_CASES.c.status == "looking_up") & (
    _CASES.c.lookup_started_at.is_(None) | (_CASES.c.lookup_started_at < bindparam("cut_off"))
)
_WAITING_AT_ALL = select(_CASES.c.id).where(_WAITS).limit(1)
_WAITING = (
    select(_CASES.c.id)
    .where(_WAITS)
    .order_by(_CASES.c.created_at)
    .limit(_BATCH)
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(Case)
    .where(Case.id.in_(_WAITING.scalar_subquery()))
    .values(lookup_started_at=bindparam("now"))
    .returning(Case)
    .execution_options(synchronize_session=False)
)
_NEW_LOOKUP = insert(cast(Table, Lookup.__table__))


class Lookups:
    """Finds cases in `looking_up`, asks the registry and moves them on."""

    def __init__(self, database: Database, rules: CaseRules, registry: VehicleRegistry) -> None:
        self._database = database
        self._rules = rules
        self._registry = registry
        self._pace = Pace(_PACE_EACH, _PACE_LONGEST)

    async def run(self) -> None:
        """Look up for ever; wakes on every new case, and by itself for what a crash left behind."""
        wanted = self._rules.lookup_wanted
        while True:
            if wanted.is_set() or await self._any_waiting():
                wanted.clear()
                while await self.look_up_waiting() >= _BATCH:
                    pass
                await self._pace.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await wanted.wait()

    async def _any_waiting(self) -> bool:
        async with self._database.reading() as session:
            return await session.scalar(_WAITING_AT_ALL, {"cut_off": self._cut_off()}) is not None

    def _cut_off(self) -> datetime:
        return self._rules.clock.now() - _GIVEN_UP_AFTER

    async def look_up_waiting(self) -> int:
        """Look up the cases that wait now; return how many."""
        cases = await self._claim()
        if cases:
            self._pace.begin(len(cases))
            answers = await asyncio.gather(*(self._ask(case) for case in cases))
            await self._conclude(cases, answers)
        return len(cases)

    async def _claim(self) -> list[Case]:
        async with self._database.transaction() as session:
            cases = list(
                await session.scalars(_CLAIM, {"cut_off": self._cut_off(), "now": self._rules.clock.now()})
            )
            session.expunge_all()
        return cases

    async def _ask(self, case: Case) -> Answer:
        plate = parse(self._rules.plate(case))
        if plate.goes_to_person:
            return NotFound()
        color = Color(case.plate_color) if case.plate_color else None
        try:
            return await self._registry.lookup(plate, color, case.id)
        except Exception:  # one broken lookup must not hold the others back
            log.exception("lookup_crashed", case_id=case.id)
            return Unavailable(Outage.MALFORMED)

    async def _conclude(self, cases: Sequence[Case], answers: Sequence[Answer]) -> None:
        answered = list(zip(cases, answers, strict=True))
        try:
            async with self._database.transaction() as session:
                await self._conclude_together(session, answered)
        except (CaseMoved, IllegalTransition):
            # An operator was faster with one of them: settle each by itself, on its present state.
            for case, answer in answered:
                async with self._database.transaction() as session:
                    fresh = await find_case(session, case.id, for_update=True)
                    if fresh is not None and fresh.status == "looking_up":
                        await self._conclude_together(session, [(fresh, answer)])
        for answer in answers:
            LOOKUPS.labels(_described(answer)[0]).inc()

    async def _conclude_together(
        self, session: AsyncSession, answered: Sequence[tuple[Case, Answer]]
    ) -> None:
        now = self._rules.clock.now()
        await session.execute(_NEW_LOOKUP, [_row(case, answer, now) for case, answer in answered])
        await self._rules.apply_all(session, [self._move(case, answer) for case, answer in answered])

    def _move(self, case: Case, answer: Answer) -> Move:
        if not (isinstance(answer, Found) and answer.vehicle.phones):
            plate = parse(self._rules.plate(case))
            result, _ = _described(answer)
            return Move(case, "lookup_failed", attention=_attention(answer, plate), reason=result)
        vehicle, seal = answer.vehicle, self._rules.keys.seal
        changes = {
            "plate_color": vehicle.color,
            "owner_name_masked": mask_name(vehicle.owner),
            "owner_phone_masked": mask_phone(vehicle.phones[0]),
            "numbers_sealed": [seal(phone, f"case:{case.id}:owner") for phone in vehicle.phones],
        }
        return Move(case, "found", changes=changes)


def _row(case: Case, answer: Answer, now: datetime) -> dict[str, Any]:
    result, detail = _described(answer)
    return {
        "id": new_id(),
        "case_id": case.id,
        "plate_index": case.plate_index,
        "operator_id": case.operator_id,
        "asked_at": case.lookup_started_at,
        "answered_at": now,
        "result": result,
        "detail": detail,
    }


def _described(answer: Answer) -> tuple[str, dict[str, Any] | None]:
    match answer:
        case Found():
            return "found", None
        case NotFound():
            return "not_found", {"colors": [str(color) for color in answer.colors]}
        case Ambiguous():
            return "ambiguous", {"colors": [str(color) for color in answer.colors]}
        case Unavailable():
            return "unavailable", {"reason": answer.reason}


def _attention(answer: Answer, plate: Plate) -> AttentionReason:
    if plate.goes_to_person:
        return "special_plate"
    match answer:
        case Found():
            return "no_numbers"
        case NotFound():
            return "not_found"
        case Ambiguous():
            return "ambiguous_color"
        case Unavailable():
            return "registry_unavailable"
