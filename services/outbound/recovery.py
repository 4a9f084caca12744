"""What became of calls while nobody listened: asked of the PBX, never guessed, never redialled (B5).

Three things end the silence: the start of the process, a new connection, and a call that has lasted longer
than any call can (`sweep`). In each the Asterisk that the call was placed on is asked whether it is up, and
otherwise what the dialplan wrote down about it. When neither tells, the outcome is `unknown`, for a person to
resolve. An Asterisk that does not answer leaves its calls as they are.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from sqlalchemy import select

from services.common.ami import AmiError
from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.attempts import UP, Trigger
from services.outbound.calls import HostileEvent, LeftResult
from services.outbound.journal import Journal
from services.outbound.lines import Line, Lines, Route
from services.outbound.pbx import Pbx
from services.outbound.records import Change
from services.outbound.redial import ANSWERS
from services.outbound.rows import ATTEMPTS
from services.outbound.switchboard import Switchboard
from services.outbound.waiting import signalled

log = structlog.get_logger(__name__)

_UNASKED_SECONDS: Final = 30.0
_AGAIN_SECONDS: Final = 0.5
_AT_A_TIME: Final = 20


class Recovery:
    """Keeps what the database says of the calls on one node in step with what that node says."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        node: str,
        pbx: Pbx,
        journal: Journal,
        lines: Lines,
        switchboard: Switchboard,
        *,
        instance: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._pbx = pbx
        self._journal = journal
        self._lines = lines
        self._switchboard = switchboard
        self._instance = instance
        self._connection = 0
        """Odd while connected, and different for every connection."""
        self._in_step_with = 0
        self._link_changed = asyncio.Event()

    @property
    def in_step(self) -> bool:
        """Whether the node answers, and what was missed of it has been found out."""
        return bool(self._connection % 2) and self._in_step_with == self._connection

    async def adopt(self) -> None:
        """Follow the calls that this instance left up on the node when it was last stopped."""
        async with self._database.reading() as session:
            found = await session.execute(
                select(ATTEMPTS.c.id, ATTEMPTS.c.contact_id, ATTEMPTS.c.node, ATTEMPTS.c.trunk).where(
                    ATTEMPTS.c.state.in_(UP), ATTEMPTS.c.claimed_by == self._instance
                )
            )
            rows = [row for row in found if (row.node or self._switchboard.first_node) == self._node]
        for row in rows:
            self.follow(row.id, row.contact_id, row.trunk)
        if rows:
            log.info("calls_adopted", node=self._node, calls=len(rows))

    def follow(self, attempt_id: str, owner: str, trunk: str | None) -> None:
        """Follow a call on the node that was placed by someone else, or by an earlier process."""
        route = Route(self._node, trunk or "")
        self._lines.take(attempt_id, Line(route, owner, self._clock.monotonic(), judged=True))
        self._lines.gapped.add(attempt_id)

    def connected(self) -> None:
        """Begin to find out what was missed; calls can be placed after that."""
        self._connection += 1
        self._link_changed.set()

    def missed(self) -> None:
        """Catch up once more on this connection: events of it were lost by a fault of ours."""
        self._in_step_with = 0
        self._close("events_missed")

    def disconnected(self, reason: str) -> None:
        """Place no calls, and remember which were up."""
        self._connection += 1
        self._close(reason)

    def _close(self, reason: str) -> None:
        self._switchboard.close(self._node, reason)
        self._lines.gapped |= self._lines.on(self._node)
        self._link_changed.set()

    async def run(self) -> None:
        """Catch up after every connection, for ever."""
        while True:
            wait = _UNASKED_SECONDS
            try:
                if self._connection % 2 and not self.in_step:
                    await self._catch_up()
            except Exception as error:
                if not (isinstance(error, AmiError) or is_outage(error)):
                    raise
                log.warning("recovery_waits", node=self._node, error=repr(error))
                wait = _AGAIN_SECONDS
            await signalled(self._link_changed, self._clock, wait)

    async def _catch_up(self) -> None:
        connection = self._connection
        await self._journal.settle()
        # What is being placed on this connection reports for itself.
        mine = self._lines.on(self._node)
        await self.find_out(mine - self._lines.placing - self._lines.ending)
        await self._journal.settle()
        if connection == self._connection:
            self._in_step_with = connection
            self._switchboard.open(self._node)
            log.info("pbx_in_step", node=self._node, calls=len(self._lines.on(self._node)))

    async def look_into(self, attempt_ids: Iterable[str]) -> None:
        """Find out about calls that have outlasted their time, and hang up those that are up."""
        for attempt_id in await self.find_out(attempt_ids):
            # The PBX's own limits should have ended it; a line must not be taken for ever.
            await self._pbx.hangup(attempt_id)

    async def find_out(self, attempt_ids: Iterable[str]) -> set[str]:
        """Ask the node about calls and write down what it says; return those that are up. Raises AmiError."""
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
        log.info("calls_checked", node=self._node, asked=len(asked), up=len(up.intersection(asked)))
        return up.intersection(asked)

    async def left_result(self, attempt_id: str) -> LeftResult | None:
        """Return what the dialplan wrote down, None also when that cannot be understood. Raises AmiError."""
        try:
            return await self._pbx.left_result(attempt_id)
        except HostileEvent:
            log.error("left_result_unreadable", attempt=attempt_id)  # noqa: TRY400
            return None
