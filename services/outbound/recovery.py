"""What became of calls while nobody listened: asked of the PBX, never guessed, never redialled (B5).

Three things end the silence: the start of the process, a new connection, and a call that has lasted longer
than any call can. In each the PBX is asked whether the call is up, and otherwise what the dialplan wrote
down about it. When neither tells, the outcome is `unknown`, for a person to resolve.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import func, select

from services.common.ami import AmiError
from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.attempts import UP, Trigger
from services.outbound.calls import HostileEvent, LeftResult
from services.outbound.journal import Journal
from services.outbound.lines import Lines
from services.outbound.metrics import PBX_UP, QUEUE_AGE
from services.outbound.pbx import Pbx
from services.outbound.records import Change
from services.outbound.redial import ANSWERS
from services.outbound.rows import ATTEMPTS
from services.outbound.waiting import signalled

log = structlog.get_logger(__name__)

CALL_SECONDS: Final = 150.0
"""Longer than the dialplan lets any answered call last."""
MARGIN_SECONDS: Final = 15.0
FOREIGN_MARGIN_SECONDS: Final = 60.0
"""How much longer another instance is given to find out about its own calls."""
_SWEEP_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.5
_AT_A_TIME: Final = 20


class Recovery:
    """Keeps what the database says of calls in step with what the PBX says."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        pbx: Pbx,
        journal: Journal,
        lines: Lines,
        *,
        instance: str,
        ring_seconds: float,
        sweep_seconds: float = _SWEEP_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._pbx = pbx
        self._journal = journal
        self._lines = lines
        self._instance = instance
        self._ring_seconds = ring_seconds
        self._sweep_seconds = sweep_seconds
        self._connection = 0
        """Odd while connected, and different for every connection."""
        self._in_step_with = 0
        self._link_changed = asyncio.Event()

    async def adopt(self) -> None:
        """Follow the calls that this instance left up when it was last stopped."""
        async with self._database.reading() as session:
            found = await session.scalars(
                select(ATTEMPTS.c.id).where(ATTEMPTS.c.state.in_(UP), ATTEMPTS.c.claimed_by == self._instance)
            )
            left_up = set(found)
        self._lines.take(left_up)
        self._lines.gapped |= left_up
        if left_up:
            log.info("calls_adopted", calls=len(left_up))

    def connected(self) -> None:
        """Begin to find out what was missed; calls can be placed after that."""
        self._connection += 1
        self._link_changed.set()

    def missed(self) -> None:
        """Catch up once more on this connection: events of it were lost by a fault of ours."""
        self._in_step_with = 0
        self._lines.close("events_missed")
        PBX_UP.set(0)
        self._lines.gapped |= self._lines.up
        self._link_changed.set()

    def disconnected(self, reason: str) -> None:
        """Place no calls, and remember which were up."""
        self._connection += 1
        self._lines.close(reason)
        self._lines.gapped |= self._lines.up
        PBX_UP.set(0)
        self._link_changed.set()

    async def run(self) -> None:
        """Catch up after every connection, and look for calls that outlast their time, for ever."""
        while True:
            wait = self._sweep_seconds
            try:
                if self._connection % 2:
                    if self._in_step_with == self._connection:
                        await self.check_overdue()
                    else:
                        await self._catch_up()
                await self._measure_queue()
            except Exception as error:
                if not (isinstance(error, AmiError) or is_outage(error)):
                    raise
                log.warning("recovery_waits", error=repr(error))
                wait = _AGAIN_SECONDS
            await signalled(self._link_changed, self._clock, wait)

    async def _catch_up(self) -> None:
        connection = self._connection
        await self._journal.settle()
        # What is being placed on this connection reports for itself.
        await self._find_out(self._lines.up - self._lines.placing - self._lines.ending)
        await self._journal.settle()
        if connection == self._connection:
            self._in_step_with = connection
            self._lines.open()
            PBX_UP.set(1)
            log.info("pbx_in_step", calls=len(self._lines))

    async def check_overdue(self) -> None:
        """Find out about calls that have outlasted their time, also those of an instance that died."""
        await self._journal.settle()
        now = self._clock.now()
        overdue = set()
        async with self._database.reading() as session:
            rows = await session.execute(
                select(
                    ATTEMPTS.c.id, ATTEMPTS.c.dialed_at, ATTEMPTS.c.answered_at, ATTEMPTS.c.claimed_by
                ).where(
                    ATTEMPTS.c.state.in_(UP),
                    ATTEMPTS.c.dialed_at < now - timedelta(seconds=self._ring_seconds + MARGIN_SECONDS),
                )
            )
            for row in rows:
                since, allowed = row.dialed_at, self._ring_seconds
                if row.answered_at is not None:
                    since, allowed = row.answered_at, CALL_SECONDS
                margin = MARGIN_SECONDS if row.claimed_by == self._instance else FOREIGN_MARGIN_SECONDS
                if (now - since).total_seconds() > allowed + margin:
                    overdue.add(row.id)
        overdue -= self._lines.placing | self._lines.ending
        if overdue:
            log.warning("calls_overdue", calls=len(overdue))
            for attempt_id in await self._find_out(overdue):
                # The PBX's own limits should have ended it; a line must not be taken for ever.
                await self._pbx.hangup(attempt_id)

    async def _find_out(self, attempt_ids: Iterable[str]) -> set[str]:
        """Ask the PBX about calls and write down what it says; return those that are up."""
        asked = sorted(attempt_ids)
        if not asked:
            return set()
        up = await self._pbx.live_channels()
        # Asked after the list, and so after the events of every channel that is no longer in it.
        left: dict[str, LeftResult | None] = {}
        for first in range(0, len(asked), _AT_A_TIME):
            share = asked[first : first + _AT_A_TIME]
            left |= zip(share, await asyncio.gather(*map(self.left_result, share)), strict=True)
        now = self._clock.now()
        changes = []
        for attempt_id in asked:
            result = left[attempt_id]
            if attempt_id in up:
                self._lines.gapped.add(attempt_id)
                if result is not None and result.outcome in ANSWERS:
                    changes.append(Change(attempt_id, Trigger.LEFT_ANSWER, now, left=result))
            elif attempt_id not in self._lines.ending:
                trigger = Trigger.LOST if result is None else Trigger.LEFT_RESULT
                changes.append(Change(attempt_id, trigger, now, left=result))
        self._journal.put(changes)
        log.info("calls_checked", asked=len(asked), up=len(up.intersection(asked)))
        return up.intersection(asked)

    async def left_result(self, attempt_id: str) -> LeftResult | None:
        """Return what the dialplan wrote down, None also when that cannot be understood. Raises AmiError."""
        try:
            return await self._pbx.left_result(attempt_id)
        except HostileEvent:
            log.error("left_result_unreadable", attempt=attempt_id)  # noqa: TRY400
            return None

    async def _measure_queue(self) -> None:
        async with self._database.reading() as session:
            oldest = await session.scalar(
                select(func.min(ATTEMPTS.c.due_at)).where(ATTEMPTS.c.state == "queued")
            )
        waiting = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        QUEUE_AGE.set(max(0.0, waiting))
