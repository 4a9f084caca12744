"""What the 110 desk is told of a case, to act without calling back; told again when more is known (C2)."""

from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.events import CaseDetailsChanged
from services.common.http.times import rfc3339
from services.movecar.cases.models import Case, CaseAttempt, CaseHistory, CaseJoin
from services.movecar.plates import parse
from services.movecar.recordings.models import Recording

AT_THE_DESK = frozenset({"escalated", "handed_over"})
"""Statuses in which the desk has the case before it."""

ATTEMPTS = select(
    CaseAttempt.case_id,
    CaseAttempt.number,
    CaseAttempt.outcome,
    CaseAttempt.dialed_at,
    CaseAttempt.ended_at,
    Recording.id.label("recording_id"),
).outerjoin(Recording, Recording.attempt_id == CaseAttempt.id)
"""What the desk is told of calls: rows of a case's attempts, each with its recording once there is one."""


class Rules(Protocol):
    """What telling needs of the case's rules."""

    @property
    def keys(self) -> Keys:
        """Opens and seals personal data."""

    @property
    def clock(self) -> Clock:
        """Time."""

    def plate(self, case: Case) -> str:
        """Return the plate of a case."""

    def requester(self, case: Case) -> str:
        """Return the requester's number of a case."""


def sealed_details(
    rules: Rules, case: Case, escalation_id: str, notes: Sequence[str], attempts: Sequence[Any]
) -> str:
    """Return everything the desk is told, sealed for the escalation."""
    plate = rules.plate(case)
    details = {
        "case_number": case.number,
        "plate": plate,
        "plate_color": case.plate_color,
        "plate_kind": parse(plate).kind,
        "location": case.location,
        "situation": case.situation,
        "note": "；".join(text for text in notes if text),
        "requester_phone": rules.requester(case),
        "operator": case.operator,
        "attempts": [
            {
                "number": attempt.number,
                "outcome": attempt.outcome,
                "dialed_at": rfc3339(attempt.dialed_at) if attempt.dialed_at else None,
                "ended_at": rfc3339(attempt.ended_at) if attempt.ended_at else None,
                "recording_id": attempt.recording_id,
            }
            for attempt in attempts
        ],
    }
    return rules.keys.seal(orjson.dumps(details).decode(), f"escalation:{escalation_id}")


async def tell_desk(session: AsyncSession, rules: Rules, case: Case) -> None:
    """Tell the desk what has become known of a case that it has before it; nothing otherwise (C2)."""
    if case.escalation_id is None or case.status not in AT_THE_DESK:
        return
    said = await session.scalars(
        select(CaseHistory.note)
        .where(CaseHistory.case_id == case.id, CaseHistory.to_status == "escalated")
        .order_by(CaseHistory.id)
    )
    asked = await session.scalars(select(CaseJoin).where(CaseJoin.case_id == case.id).order_by(CaseJoin.at))
    notes = [
        case.note,
        *dict.fromkeys(said),
        *(f"又有人来电：{join.location} {join.situation} {join.note}".strip() for join in asked),
    ]
    attempts = await session.execute(
        ATTEMPTS.where(CaseAttempt.case_id == case.id).order_by(CaseAttempt.queued_at)
    )
    await emit(
        session,
        CaseDetailsChanged(
            occurred_at=rules.clock.now(),
            case_id=case.id,
            escalation_id=case.escalation_id,
            details_sealed=sealed_details(rules, case, case.escalation_id, notes, attempts.all()),
        ),
    )
