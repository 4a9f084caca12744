"""The contract's own script: version 1, which needs no further notice (B2)."""

from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import insert_ignoring_duplicates, rows_changed
from services.outbound.prompts import GREETING
from services.outbound.scripts.models import CallScript, ScriptHistory

VERSION: Final = 1
CALLER_ID: Final = "0519110"
_ID: Final = f"{VERSION:032x}"
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""In force unless something else is."""
_SCRIPTS: Final = cast(Table, CallScript.__table__)
_HISTORY: Final = cast(Table, ScriptHistory.__table__)


async def file_contract_script(session: AsyncSession, now: datetime) -> None:
    """Put version 1 on file unless it is there, so that every attempt refers to a row."""
    row: dict[str, Any] = {
        "id": _ID,
        "version": VERSION,
        "state": "approved",
        "caller_id": CALLER_ID,
        "greeting": GREETING,
        "notice_number": "挪车服务合同",
        "notice_date": None,
        "effective_from": _ALWAYS,
        "effective_at": _ALWAYS,
        "drafted_by": "contract",
        "drafted_at": now,
        "approved_by": "signatories",
        "approved_at": now,
    }
    if rows_changed(await session.execute(insert_ignoring_duplicates(session, _SCRIPTS, row))):
        detail = {"caller_id": CALLER_ID, "greeting": GREETING}
        await session.execute(
            insert(_HISTORY).values(script_id=_ID, at=now, by="contract", action="filed", detail=detail)
        )
