"""Calls that fail by no doing of an owner: how many of the last ones, and when that is too many (C4).

Busy, unanswered and declined calls and numbers that do not exist are what owners and their numbers do.
Counted are calls that the network or we ourselves failed: congestion, failures, ends that nobody saw, and
prompts that an owner who answered did not hear.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from sqlalchemy import bindparam, case, func, select

from services.common.call_rules import CallAlarms
from services.common.clock import Clock
from services.common.database import Database
from services.common.tasks import repeat
from services.outbound.rows import ATTEMPTS

log = structlog.get_logger(__name__)

TECHNICAL: Final = ("congestion", "failed", "unknown")
_EVERY_SECONDS: Final = 10.0

State = Literal["well", "failing", "stopped"]
"""`stopped`: not one call gets through."""

_COUNTED: Final = select(
    func.count(),
    func.count(
        case((ATTEMPTS.c.outcome.in_(TECHNICAL) | ATTEMPTS.c.prompt_failed_at.is_not(None), 1)),
    ),
).where(ATTEMPTS.c.dialed_at > bindparam("since"), ATTEMPTS.c.outcome.is_not(None))


@dataclass(frozen=True, slots=True)
class Share:
    """Of so many calls, how many failed."""

    calls: int = 0
    failed: int = 0


def judge(share: Share, rules: CallAlarms, was: State) -> State:
    """Judge the calls of the window. It takes `failing_calls` of them to find calls failing.

    Once they are, fewer will do to find them well again, but at least one: silence is no proof of health.
    """
    if share.calls == 0:
        return was
    enough = share.calls >= rules.failing_calls
    if share.failed == share.calls and (enough or was == "stopped"):
        return "stopped"
    if share.failed >= rules.failing_share * share.calls and (enough or was != "well"):
        return "failing"
    return "well"


class Failing:
    """Counts now and then; the answers are from the last count.

    The window begins anew when one of `parts` had something to say, such as that the switch is down: that has
    its own fault, and the calls which failed meanwhile do not tell of a further one.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rules: CallAlarms,
        parts: Sequence[Callable[[], Awaitable[str | None]]],
    ) -> None:
        self._database, self._clock, self._rules, self._parts = database, clock, rules, parts
        self._from: datetime | None = None
        self._share = Share()
        self.state: State = "well"

    async def run(self) -> None:
        """Count for ever."""
        await repeat(self.look, self._clock, _EVERY_SECONDS, "call_failures_not_counted")

    async def look(self) -> None:
        """Count once."""
        now = self._clock.now()
        window = now - timedelta(minutes=self._rules.failing_minutes)
        if [problem for part in self._parts if (problem := await part())]:
            self._from = now
            return
        since = max(window, self._from or window)
        async with self._database.reading() as session:
            row = (await session.execute(_COUNTED, {"since": since})).one()
        self._share = Share(*row)
        state = judge(self._share, self._rules, self.state)
        if state != self.state:
            log.warning("call_failures", state=state, calls=self._share.calls, failed=self._share.failed)
        self.state = state

    async def some(self) -> str | None:
        """Tell that more calls fail than should; None when they do not."""
        return self._told() if self.state != "well" else None

    async def all(self) -> str | None:
        """Tell that every call fails; None when one gets through."""
        return self._told() if self.state == "stopped" else None

    def _told(self) -> str:
        # It is read out to people as the reason of a fault.
        share = self._share
        return f"{self._rules.failing_minutes:g}分钟内{share.calls}次呼叫中{share.failed}次失败"
