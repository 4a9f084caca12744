"""What people do with call scripts: draft, approve, reject, withdraw; each leaves its line in the history."""

import base64
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, cast

import structlog
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.crypto import Keys
from services.common.database import rows_changed
from services.common.ids import new_id
from services.outbound.scripts.contract import file_contract_script
from services.outbound.scripts.machine import IllegalTransition, Trigger, next_state
from services.outbound.scripts.models import CallScript, NoticeFile, ScriptHistory
from services.outbound.scripts.notices import Scan

log = structlog.get_logger(__name__)

LAST_VERSION: Final = 9999
_SCRIPTS: Final = cast(Table, CallScript.__table__)
_NOTICES: Final = cast(Table, NoticeFile.__table__)
_HISTORY: Final = cast(Table, ScriptHistory.__table__)


class UnknownScript(Exception):
    """There is no such script."""


class SamePerson(Exception):
    """Whoever drafted a script does not decide on it (B3)."""


class NotTheAuthor(Exception):
    """Only its author withdraws a draft."""


class NoVersionLeft(Exception):
    """All 9,999 numbers are used."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a notice asks for."""

    caller_id: str
    greeting: str
    notice_number: str
    notice_date: date
    effective_from: datetime


async def find(session: AsyncSession, script_id: str, *, for_update: bool = False) -> CallScript:
    """Return a script. Raises UnknownScript."""
    found = await session.get(CallScript, script_id, with_for_update=True if for_update else None)
    if found is None:
        raise UnknownScript
    return found


async def draft(
    session: AsyncSession, keys: Keys, wanted: Draft, scan: Scan, *, by: str, now: datetime
) -> CallScript:
    """File a draft with the scan of its notice. Raises NoVersionLeft."""
    await file_contract_script(session, now)  # numbers begin after the contract's own
    newest = await session.scalar(select(func.max(CallScript.version))) or 1
    if newest >= LAST_VERSION:
        raise NoVersionLeft
    script = CallScript(
        id=new_id(),
        version=newest + 1,
        state="draft",
        caller_id=wanted.caller_id,
        greeting=wanted.greeting,
        notice_number=wanted.notice_number,
        notice_date=wanted.notice_date,
        effective_from=wanted.effective_from,
        drafted_by=by,
        drafted_at=now,
    )
    session.add(script)
    await session.flush()
    await session.execute(
        insert(_NOTICES).values(
            script_id=script.id,
            name=scan.name,
            media_type=scan.media_type,
            size=len(scan.content),
            sha256=scan.sha256,
            content_sealed=keys.seal(base64.b64encode(scan.content).decode(), notice_context(script.id)),
        )
    )
    detail = {
        "caller_id": wanted.caller_id,
        "greeting": wanted.greeting,
        "notice_number": wanted.notice_number,
        "notice_sha256": scan.sha256,
    }
    await _note(session, script, "drafted", by, now, detail)
    return script


async def approve(
    session: AsyncSession, script_id: str, *, by: str, now: datetime, prompts: dict[str, str]
) -> CallScript:
    """Approve a draft: it takes effect at its time, or now when that has passed.

    `prompts` are the checksums of the greeting's audio as it was found. Approving what the same person has
    approved before changes nothing. Raises UnknownScript, SamePerson, IllegalTransition.
    """
    script = await find(session, script_id, for_update=True)
    if script.state == "approved" and script.approved_by == by:
        return script  # the answer was lost on its way
    effective_at = max(script.effective_from, now)
    changes = {"approved_by": by, "approved_at": now, "effective_at": effective_at}
    detail = {"effective_at": effective_at.isoformat(), "prompts": prompts}
    return await _decide(session, script, Trigger.APPROVED, by, now, changes, detail)


async def reject(session: AsyncSession, script_id: str, *, by: str, now: datetime, note: str) -> CallScript:
    """Reject a draft of somebody else. Raises UnknownScript, SamePerson, IllegalTransition."""
    script = await find(session, script_id, for_update=True)
    return await _decide(session, script, Trigger.REJECTED, by, now, {}, {"note": note})


async def withdraw(session: AsyncSession, script_id: str, *, by: str, now: datetime, note: str) -> CallScript:
    """Withdraw a draft of one's own. Raises UnknownScript, NotTheAuthor, IllegalTransition."""
    script = await find(session, script_id, for_update=True)
    return await _decide(session, script, Trigger.WITHDRAWN, by, now, {}, {"note": note})


def check_decision(script: CallScript, trigger: Trigger, by: str) -> None:
    """Raise what keeps this person from doing this to a script now."""
    if trigger is Trigger.WITHDRAWN:
        if by != script.drafted_by:
            raise NotTheAuthor
    elif by == script.drafted_by:
        raise SamePerson
    next_state(script.state, trigger)  # type: ignore[arg-type] # a column of the known states


async def _decide(
    session: AsyncSession,
    script: CallScript,
    trigger: Trigger,
    by: str,
    now: datetime,
    changes: dict[str, Any],
    detail: dict[str, Any],
) -> CallScript:
    check_decision(script, trigger, by)
    state = next_state(script.state, trigger)  # type: ignore[arg-type] # as above
    decided = await session.execute(
        update(_SCRIPTS)
        .where(_SCRIPTS.c.id == script.id, _SCRIPTS.c.state == script.state)
        .values(state=state, **changes)
    )
    if not rows_changed(decided):
        raise IllegalTransition(script.state, trigger)  # somebody else decided meanwhile
    await _note(session, script, trigger.value, by, now, detail)
    log.info(
        "call_script",
        script=script.id,
        version=script.version,
        transition=f"{script.state} -[{trigger}]> {state}",
    )
    await session.refresh(script)
    return script


async def _note(
    session: AsyncSession, script: CallScript, action: str, by: str, now: datetime, detail: dict[str, Any]
) -> None:
    await session.execute(
        insert(_HISTORY).values(script_id=script.id, at=now, by=by, action=action, detail=detail)
    )


def notice_context(script_id: str) -> str:
    """Return the context that a script's notice is sealed for."""
    return f"notice:{script_id}"


def open_notice(keys: Keys, notice: NoticeFile) -> bytes:
    """Return the scan as it was sent in. Raises SealBroken."""
    return base64.b64decode(keys.open(notice.content_sealed, notice_context(notice.script_id)))
