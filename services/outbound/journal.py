"""Changes wait here for one another, so that many are written in one transaction.

A call brings about eight events. A transaction for each would cost ten times the processor time of the call
itself, so what a person waits for (keys, ends) is written at once while the journal is idle and every 25 ms
while it is not, and what is only watched (ringing, greetings) goes with it, 250 ms later at most.

Nothing leaves memory before it is committed; what a crash takes from memory, `recovery` asks the PBX for.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.attempts import Change, Trigger
from services.outbound.ledger import Ledger, Written
from services.outbound.lines import Lines
from services.outbound.metrics import ATTEMPTS, CONTACTS, FAULTS

log = structlog.get_logger(__name__)

_PACE_SECONDS: Final = 0.025
_WATCHED_SECONDS: Final = 0.25
_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 2.0
_BATCH: Final = 1000
"""Changes written in one transaction, at most."""

_WATCHED: Final = frozenset(
    {Trigger.RINGING, Trigger.ANSWERED, Trigger.GREETING_STARTED, Trigger.GREETING_ENDED}
)


class Journal:
    """Takes changes without waiting and writes them with the `Ledger`, in the order they came."""

    def __init__(self, database: Database, clock: Clock, ledger: Ledger, lines: Lines) -> None:
        self._database = database
        self._clock = clock
        self._ledger = ledger
        self._lines = lines
        self._pending: list[Change] = []
        self._written_at = 0.0
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    def put(self, changes: Iterable[Change]) -> None:
        """Take changes in; they are written soon, and survive a database that is away."""
        urgent = False
        for change in changes:
            self._pending.append(change)
            urgent = urgent or change.trigger not in _WATCHED
        if self._pending:
            self._settled.clear()
            self._write_within(0.0 if urgent else _WATCHED_SECONDS)

    def _write_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = max(loop.time() + seconds, self._written_at + _PACE_SECONDS)
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_at(when, self._due.set)

    async def settle(self) -> None:
        """Wait until everything that was put is committed."""
        if self._pending:
            self._write_within(0.0)
        await self._settled.wait()

    async def run(self) -> None:
        """Write for ever. A database that is away delays changes and loses none."""
        if self._pending:
            self._due.set()  # left by a run that crashed
        while True:
            await self._due.wait()
            self._due.clear()
            self._timer = None
            wait = _FIRST_WAIT_SECONDS
            while self._pending:
                try:
                    await self.flush()
                except Exception as error:
                    if not is_outage(error):
                        raise
                    log.warning("journal_waits", changes=len(self._pending), error=repr(error))
                    await self._clock.sleep(wait)
                    wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def flush(self) -> None:
        """Write one transaction of what is pending. Raises when the database is away, and loses nothing."""
        batch = self._pending[:_BATCH]
        if not batch:
            return
        self._written_at = asyncio.get_running_loop().time()
        try:
            await self._write(batch)
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("journal_batch_failed", changes=len(batch))
            await self._write_apart(batch)
        else:
            del self._pending[: len(batch)]
        if not self._pending:
            self._settled.set()

    async def _write(self, changes: Sequence[Change]) -> None:
        async with self._database.transaction() as session:
            written = await self._ledger.write(session, changes)
        self._after_commit(written)

    async def _write_apart(self, changes: Sequence[Change]) -> None:
        """Write attempt by attempt, so that one that cannot be written holds no other up."""
        by_attempt: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_attempt[change.attempt_id].append(change)
        done: set[int] = set()
        try:
            for attempt_id, share in by_attempt.items():
                try:
                    await self._write(share)
                except Exception as error:
                    if is_outage(error):
                        raise
                    FAULTS.labels("unwritable").inc()
                    log.exception("changes_unwritable", attempt=attempt_id)
                done.update(id(change) for change in share)
        finally:
            self._pending = [change for change in self._pending if id(change) not in done]

    def _after_commit(self, written: Written) -> None:
        for outcome in written.outcomes:
            ATTEMPTS.labels(outcome).inc()
        for conclusion in written.concluded:
            CONTACTS.labels(conclusion).inc()
        if written.over:
            self._lines.release(written.over)
        if written.queued:
            self._lines.wake()
