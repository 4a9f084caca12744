"""Looking cases' vehicles up: one question per open case, counted and kept (A2, A3)."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import Counter
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import Database
from services.common.ids import new_id
from services.common.phones import mask_phone
from services.movecar.cases.machine import AttentionReason, IllegalTransition
from services.movecar.cases.models import Case, Lookup
from services.movecar.cases.transitions import CaseMoved, CaseRules, find_case
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
_POLL_SECONDS = 1.0
_GIVEN_UP_AFTER = timedelta(seconds=15)
"""A lookup started longer ago than this was cut off by a crash and is asked again: asking is harmless."""


class Lookups:
    """Finds cases in `looking_up`, asks the registry and moves them on."""

    def __init__(self, database: Database, rules: CaseRules, registry: VehicleRegistry) -> None:
        self._database = database
        self._rules = rules
        self._registry = registry
        self._opened = asyncio.Event()
        database.on_commit(self._opened.set)

    async def run(self) -> None:
        """Look up for ever; wakes on every new case, and by itself for what a crash left behind."""
        while True:
            self._opened.clear()
            while await self.look_up_waiting():
                pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._opened.wait()

    async def look_up_waiting(self) -> int:
        """Look up the cases that wait now; return how many."""
        cases = await self._claim()
        if cases:
            answers = await asyncio.gather(*(self._ask(case) for case in cases))
            await self._conclude(cases, answers)
        return len(cases)

    async def _claim(self) -> list[Case]:
        now = self._rules.clock.now()
        waiting = (Case.status == "looking_up") & (
            Case.lookup_started_at.is_(None) | (Case.lookup_started_at < now - _GIVEN_UP_AFTER)
        )
        async with self._database.reading() as session:
            if await session.scalar(select(Case.id).where(waiting).limit(1)) is None:
                return []
        async with self._database.transaction() as session:
            ids = (
                await session.scalars(
                    select(Case.id)
                    .where(waiting)
                    .order_by(Case.created_at)
                    .limit(_BATCH)
                    .with_for_update(skip_locked=True)
                )
            ).all()
            if not ids:
                return []
            cases = await session.scalars(
                update(Case)
                .where(Case.id.in_(ids))
                .values(lookup_started_at=now)
                .returning(Case)
                .execution_options(synchronize_session=False)
            )
            found = list(cases)
            session.expunge_all()
            return found

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
        try:
            async with self._database.transaction() as session:
                for case, answer in zip(cases, answers, strict=True):
                    await self._conclude_one(session, case, answer)
        except (CaseMoved, IllegalTransition):
            # An operator was faster with one of them: settle each by itself, on its present state.
            for case, answer in zip(cases, answers, strict=True):
                async with self._database.transaction() as session:
                    fresh = await find_case(session, case.id, for_update=True)
                    if fresh is not None and fresh.status == "looking_up":
                        await self._conclude_one(session, fresh, answer)

    async def _conclude_one(self, session: AsyncSession, case: Case, answer: Answer) -> None:
        rules = self._rules
        result, detail = _described(answer)
        LOOKUPS.labels(result).inc()
        await session.execute(
            insert(Lookup).values(
                id=new_id(),
                case_id=case.id,
                plate_index=case.plate_index,
                operator_id=case.operator_id,
                asked_at=case.lookup_started_at,
                answered_at=rules.clock.now(),
                result=result,
                detail=detail,
            )
        )
        if isinstance(answer, Found) and answer.vehicle.phones:
            vehicle = answer.vehicle
            await rules.apply(
                session,
                case,
                "found",
                changes={
                    "plate_color": vehicle.color,
                    "owner_name_masked": mask_name(vehicle.owner),
                    "owner_phone_masked": mask_phone(vehicle.phones[0]),
                    "numbers_sealed": [
                        rules.keys.seal(phone, f"case:{case.id}:owner") for phone in vehicle.phones
                    ],
                },
            )
            return
        plate = parse(rules.plate(case))
        await rules.apply(session, case, "lookup_failed", attention=_attention(answer, plate), reason=result)


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
