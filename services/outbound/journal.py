"""Changes wait here for one another, so that many are written in one transaction.

A call brings about eight changes. A transaction for each would cost ten times the processor time of the call
itself. So a key that somebody has to act on is written at once, and so is the failure of a trunk; what is
shown (an owner who agrees, an end) a tenth of a second later at most; what is only watched (ringing,
answered) half a second; and what is only kept (greetings) together with the next change of the same call.

Nothing leaves memory before it is committed; what a crash takes from memory, `recovery` asks the PBX for.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import structlog

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.common.pace import Pace
from services.outbound import calls
from services.outbound.attempts import Trigger
from services.outbound.ledger import Ledger, Written
from services.outbound.lines import Lines
from services.outbound.metrics import ATTEMPTS, CONTACTS, FAULTS, MOVED
from services.outbound.records import Change

log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 2.0
_BATCH: Final = 500
"""Attempts written in one transaction, at most."""

_SHOWN_SECONDS: Final = 0.1
_WATCHED_SECONDS: Final = 0.5
_EARLY_SECONDS: Final = 0.1
"""How long before its time a change may be written with others. Not longer: most often more follows."""
_KEPT_SECONDS: Final = 30.0
_PATIENCE: Final = {
    Trigger.RINGING: _WATCHED_SECONDS,
    Trigger.ANSWERED: _WATCHED_SECONDS,
    Trigger.GREETING_STARTED: _KEPT_SECONDS,
    Trigger.GREETING_ENDED: _KEPT_SECONDS,
    Trigger.ENDED: _SHOWN_SECONDS,
}
"""Seconds that a change may wait to be written with others; what is not here may not wait."""


def _patience(change: Change) -> float:
    if change.trigger is Trigger.KEY_PRESSED and calls.KEY_OUTCOMES.get(change.key) == "agreed":
        return _SHOWN_SECONDS  # nobody has to act on it
    if change.failure is not None:
        return 0.0  # the call may go over another trunk
    return _PATIENCE.get(change.trigger, 0.0)


@dataclass(slots=True)
class _Waiting:
    """The changes of one attempt, numbered as they came, and when they have to be written (loop time)."""

    due: float
    changes: list[tuple[int, Change]] = field(default_factory=list)


class Journal:
    """Takes changes without waiting and writes them with the `Ledger`, in the order they came."""

    def __init__(self, database: Database, clock: Clock, ledger: Ledger, lines: Lines) -> None:
        self._database = database
        self._clock = clock
        self._ledger = ledger
        self._lines = lines
        self._pending: dict[str, _Waiting] = {}
        self._pace = Pace(each=0.005, longest=0.1)
        self._due = asyncio.Event()
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._taken = 0
        self._progress = asyncio.Event()

    def put(self, changes: Iterable[Change]) -> None:
        """Take changes in; they are written soon, and survive a database that is away."""
        now = asyncio.get_running_loop().time()
        earliest = math.inf
        for change in changes:
            due = now + _patience(change)
            waiting = self._pending.setdefault(change.attempt_id, _Waiting(due))
            self._taken += 1
            waiting.changes.append((self._taken, change))
            waiting.due = min(waiting.due, due)
            earliest = min(earliest, due)
        if earliest < math.inf:
            self._write_at(earliest)

    def _write_at(self, when: float) -> None:
        when = max(when, self._pace.next_at)
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer, self._timer_at = asyncio.get_running_loop().call_at(when, self._due.set), when

    async def settle(self) -> None:
        """Wait until everything that was put before is committed."""
        last = self._taken
        for waiting in self._pending.values():
            waiting.due = 0.0
        if self._pending:
            self._write_at(0.0)
        while any(waiting.changes[0][0] <= last for waiting in self._pending.values()):
            self._progress.clear()
            await self._progress.wait()

    async def run(self) -> None:
        """Write for ever. A database that is away delays changes and loses none."""
        self._timer = None
        self._due.set()  # for what a run that crashed has left
        wait = _FIRST_WAIT_SECONDS
        while True:
            await self._due.wait()
            self._due.clear()
            self._timer = None
            try:
                await self.flush(within=_EARLY_SECONDS)
                wait = _FIRST_WAIT_SECONDS
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("journal_waits", attempts=len(self._pending), error=repr(error))
                await self._clock.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
            if self._pending:
                self._write_at(min(waiting.due for waiting in self._pending.values()))

    async def flush(self, within: float = math.inf) -> None:
        """Write one transaction of what is due `within` these seconds, whole attempts at a time.

        Raises when the database is away, and loses nothing.
        """
        limit = asyncio.get_running_loop().time() + within
        due = (attempt_id for attempt_id, waiting in self._pending.items() if waiting.due <= limit)
        batch = {
            attempt_id: [change for _, change in self._pending[attempt_id].changes]
            for attempt_id in islice(due, _BATCH)
        }
        if not batch:
            return
        self._pace.begin(sum(_patience(change) == 0 for share in batch.values() for change in share))
        try:
            await self._write(batch)
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("journal_batch_failed", attempts=len(batch))
            await self._write_apart(batch)

    async def drain(self) -> None:
        """Write everything that is pending, now. Raises when the database is away, and loses nothing."""
        while self._pending:
            await self.flush()

    async def _write(self, batch: Mapping[str, Sequence[Change]]) -> None:
        changes = [change for share in batch.values() for change in share]
        async with self._database.transaction() as session:
            written = await self._ledger.write(session, changes)
        self._forget(batch)
        self._after_commit(written)

    async def _write_apart(self, batch: Mapping[str, Sequence[Change]]) -> None:
        """Write attempt by attempt, so that one that cannot be written holds no other up."""
        for attempt_id, share in batch.items():
            try:
                await self._write({attempt_id: share})
            except Exception as error:
                if is_outage(error):
                    raise
                FAULTS.labels("unwritable").inc()
                log.exception("changes_unwritable", attempt=attempt_id)
                self._forget({attempt_id: share})

    def _forget(self, batch: Mapping[str, Sequence[Change]]) -> None:
        for attempt_id, share in batch.items():
            waiting = self._pending[attempt_id]
            del waiting.changes[: len(share)]
            if not waiting.changes:
                del self._pending[attempt_id]
        self._progress.set()

    def _after_commit(self, written: Written) -> None:
        for outcome in written.outcomes:
            ATTEMPTS.labels(outcome).inc()
        for conclusion in written.concluded:
            CONTACTS.labels(conclusion).inc()
        MOVED.inc(written.moved)
        if written.over:
            self._lines.release(written.over)
        if written.queued:
            self._lines.wake()
