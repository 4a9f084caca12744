"""Calls that nobody follows: those of processes that died, and those that outlast every limit."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import func, select, update

from services.common.ami import AmiError
from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.attempts import UP, Trigger
from services.outbound.instances import Instances
from services.outbound.journal import Journal
from services.outbound.lines import Lines
from services.outbound.metrics import QUEUE_AGE
from services.outbound.records import Change
from services.outbound.recovery import Recovery
from services.outbound.rows import ATTEMPTS

log = structlog.get_logger(__name__)

CALL_SECONDS: Final = 150.0
"""Longer than the dialplan lets any answered call last."""
MARGIN_SECONDS: Final = 15.0
FOREIGN_MARGIN_SECONDS: Final = 60.0
"""How much longer another instance, which lives, is given to find out about its own calls."""
AWAY_SECONDS: Final = 300.0
"""How much longer a call whose node does not answer is left open. Then it is `unknown`."""
_SWEEP_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.5


class Sweep:
    """Has every call found out about in the end, by the node it was placed on."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        journal: Journal,
        lines: Lines,
        instances: Instances,
        recoveries: Mapping[str, Recovery],
        *,
        instance: str,
        ring_seconds: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._journal = journal
        self._lines = lines
        self._instances = instances
        self._recoveries = recoveries
        self._instance = instance
        self._ring_seconds = ring_seconds

    async def run(self) -> None:
        """Look, every few seconds, for ever."""
        while True:
            wait = _SWEEP_SECONDS
            try:
                await self.take_over()
                await self.check_overdue()
                await self._measure_queue()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("sweep_waits", error=repr(error))
                wait = _AGAIN_SECONDS
            await self._clock.sleep(wait)

    async def take_over(self) -> None:
        """Follow the calls of processes that died, and find out about them, where their node answers us."""
        columns = (ATTEMPTS.c.id, ATTEMPTS.c.contact_id, ATTEMPTS.c.node, ATTEMPTS.c.trunk)
        theirs = (ATTEMPTS.c.state.in_(UP), ATTEMPTS.c.claimed_by != self._instance)
        async with self._database.reading() as session:
            rows = (await session.execute(select(*columns, ATTEMPTS.c.claimed_by).where(*theirs))).all()
        if not rows:
            return
        dead = await self._instances.dead({row.claimed_by for row in rows})
        orphans = {
            row.id: (row, recovery)
            for row in rows
            if row.claimed_by in dead and (recovery := self._recovery(row.node)) and recovery.in_step
        }
        if not orphans:
            return
        async with self._database.transaction() as session:
            # Guarded: of several processes that see it dead, one gets the call.
            taken = await session.scalars(
                update(ATTEMPTS)
                .where(ATTEMPTS.c.id.in_(sorted(orphans)), *theirs, ATTEMPTS.c.claimed_by.in_(dead))
                .values(claimed_by=self._instance, version=ATTEMPTS.c.version + 1)
                .returning(ATTEMPTS.c.id)
            )
            mine = set(taken)
        log.warning("calls_taken_over", calls=len(mine), instances=sorted(dead))
        by_node: dict[Recovery, set[str]] = defaultdict(set)
        for attempt_id in mine:
            row, recovery = orphans[attempt_id]
            recovery.follow(attempt_id, row.contact_id, row.trunk)
            by_node[recovery].add(attempt_id)
        for recovery, ids in by_node.items():
            try:
                await recovery.find_out(ids)
            except AmiError:
                recovery.missed()  # it asks again, about all that it follows

    async def check_overdue(self) -> None:
        """Find out about calls that have outlasted their time, whoever placed them."""
        await self._journal.settle()
        now = self._clock.now()
        overdue: dict[Recovery, set[str]] = defaultdict(set)
        given_up = []
        async with self._database.reading() as session:
            rows = await session.execute(
                select(
                    ATTEMPTS.c.id,
                    ATTEMPTS.c.dialed_at,
                    ATTEMPTS.c.answered_at,
                    ATTEMPTS.c.claimed_by,
                    ATTEMPTS.c.node,
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
                late = (now - since).total_seconds() - allowed
                recovery = self._recovery(row.node)
                if recovery is not None and recovery.in_step:
                    if late > margin:
                        overdue[recovery].add(row.id)
                elif late > AWAY_SECONDS:
                    given_up.append(row.id)
        for recovery, ids in overdue.items():
            await self._look_into(recovery, ids - self._lines.placing - self._lines.ending)
        if given_up:
            log.error("calls_given_up", calls=len(given_up))
            self._journal.put(Change(attempt_id, Trigger.LOST, now) for attempt_id in given_up)

    async def _look_into(self, recovery: Recovery, attempt_ids: set[str]) -> None:
        if not attempt_ids:
            return
        log.warning("calls_overdue", calls=len(attempt_ids))
        try:
            await recovery.look_into(attempt_ids)
        except AmiError as error:  # the next sweep asks again; another node's calls do not wait for this one
            log.warning("recovery_waits", error=repr(error))

    def _recovery(self, node: str | None) -> Recovery | None:
        # Calls of a version that kept no node were placed on the only one there was.
        return self._recoveries.get(node or next(iter(self._recoveries)))

    async def _measure_queue(self) -> None:
        async with self._database.reading() as session:
            oldest = await session.scalar(
                select(func.min(ATTEMPTS.c.due_at)).where(ATTEMPTS.c.state == "queued")
            )
        waiting = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        QUEUE_AGE.set(max(0.0, waiting))
