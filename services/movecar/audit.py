"""Who looked at what: written in the same moment, never changed (B8, E1).

A line is committed before what it tells of is shown, so that nothing is seen unaudited.
"""

from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import JSON, BigInteger, Integer, String, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from services.common.database import Base, UtcDateTime
from services.common.http.auth import Principal


class AuditLine(Base):
    """One thing a person did or saw. `detail` holds no personal data, only blind indexes and figures."""

    __tablename__ = "audit_log"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    account_id: Mapped[str] = mapped_column(String(32), index=True)
    username: Mapped[str] = mapped_column(String(40))
    role: Mapped[str] = mapped_column(String(12))
    remote: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(80), index=True)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


async def audit(
    session: AsyncSession,
    now: datetime,
    principal: Principal,
    request: web.Request,
    action: str,
    subject: str,
    **detail: Any,
) -> None:
    """Write down who did what to which object, from where.

    `action` is a code such as ``recording.played``, `subject` the object's id or empty.
    """
    await session.execute(
        insert(AuditLine).values(
            at=now,
            account_id=principal.account_id,
            username=principal.username,
            role=principal.role,
            remote=request.remote or "",
            action=action,
            subject=subject,
            detail=detail,
        )
    )
