"""Whether anybody is there to take a case: without an operator logged in, no citizen is served (C4)."""

from typing import Final

from sqlalchemy import case, func, select

from services.common.clock import Clock
from services.common.database import Database
from services.movecar.people.models import Account, Session

NOBODY: Final = "没有坐席登录"
"""Read out to people as the reason of a fault."""


class Presence:
    """Looks for operators' sessions that have neither ended nor expired."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def check(self) -> str | None:
        """Tell that nobody is there; None while somebody is.

        None too where no operator ever was: that installation is not in service yet.
        """
        now = self._clock.now()
        is_there = case(
            ((Session.ended_at.is_(None)) & (Session.started_at <= now) & (Session.expires_at > now), 1),
            else_=0,
        )
        operators = select(func.max(is_there)).join(Account, Account.id == Session.account_id)
        async with self._database.reading() as session:
            there = await session.scalar(operators.where(Account.role == "operator"))
        return NOBODY if there == 0 else None
