"""One reader of a numbered table's end for everybody who waits for it: live streams and long polls.

However many long polls and streams there are, reads of the database are shared, each item is opened once, and
the newest stay in memory; readers far behind read their own way through the database. A commit in this
process wakes the waiting at once. Another process's commit is found by looking every quarter of a second,
and only while somebody waits, so that correctness rests on the database alone.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from services.common.clock import Clock
from services.common.pace import Pace

log = structlog.get_logger(__name__)

_RING = 1000
_BATCH = 500
_POLL_SECONDS = 0.25
_OUTAGE_WAIT_SECONDS = 0.5


class Numbered(Protocol):
    """An item that knows its number."""

    @property
    def seq(self) -> int:
        """Place in the table."""


ItemT = TypeVar("ItemT", bound=Numbered)


class Tail(Generic[ItemT]):
    """The newest items in memory, and waiting for more.

    `read(after, limit)` returns committed items in order; `last()` the newest number. Items must become
    visible in the order of their numbers. `pace` says how long a read waits after the last one's items.
    """

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[Sequence[ItemT]]],
        last: Callable[[], Awaitable[int]],
        clock: Clock,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._read = read
        self._last = last
        self._clock = clock
        self._pace = pace or Pace(0.0, 0.0)
        self._recent: deque[ItemT] = deque(maxlen=_RING)
        self._head: int | None = None
        self._advanced = asyncio.Event()
        self._woken = asyncio.Event()
        self._waiting = 0
        self._reading = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._error: Exception | None = None
        self.closed = False

    def wake(self) -> None:
        """Look for new items now: something was committed in this process."""
        self._woken.set()

    async def run(self) -> None:
        """Read what is new, for ever, as long as somebody waits for it."""
        while True:
            self._woken.clear()
            if self._waiting:
                try:
                    await self.refresh()
                except Exception as error:  # whatever is wrong with the database, readers go on waiting
                    log.warning("tail_unread", error=repr(error))
                    await self._clock.sleep(_OUTAGE_WAIT_SECONDS)
                await self._pace.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS if self._waiting else None):
                    await self._woken.wait()

    async def refresh(self) -> int:
        """Know every item committed before this call; return the newest number, 0 when there is none.

        Calls at the same time share one read: it must only have begun after each of them. Raises what the
        database raises.
        """
        wanted = self._begun + 1
        async with self._reading:
            if self._ended < wanted:
                self._begun += 1
                try:
                    await self._read_new()
                except Exception as error:
                    self._ended, self._error = self._begun, error
                    raise
                self._ended, self._error = self._begun, None
            elif self._error is not None:
                raise self._error
        return self._seen

    async def newest(self) -> int:
        """Return the newest number of the table, read or not: numbers may have no item of this tail."""
        return max(await self.refresh(), await self._last())

    async def _read_new(self) -> None:
        if self._head is None:
            self._head = max(0, await self._last() - _RING)
        while items := await self._read(self._head, _BATCH):
            self._pace.begin(len(items))
            self._recent.extend(items)
            self._head = items[-1].seq
            self._advanced.set()
            self._advanced = asyncio.Event()
            if len(items) < _BATCH:
                break

    async def after(self, seq: int, limit: int, wait: float) -> Sequence[ItemT]:
        """Return up to `limit` known items after a number; with none, wait up to `wait` seconds for one."""
        if self._seen <= seq and wait > 0:
            with self._waiter(), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    while self._seen <= seq and not self.closed:
                        await self._advanced.wait()
        if seq >= self._seen:
            return []
        if not self._recent or seq < self._recent[0].seq - 1:
            return await self._read(seq, limit)
        found: list[ItemT] = []
        for item in reversed(self._recent):
            if item.seq <= seq:
                break
            found.append(item)
        return found[: -limit - 1 : -1]

    async def close(self) -> None:
        """Let everybody who waits go, and nobody wait any more."""
        self.closed = True
        self._advanced.set()

    @property
    def _seen(self) -> int:
        return self._head or 0

    @contextlib.contextmanager
    def _waiter(self) -> Iterator[None]:
        self._waiting += 1
        if self._waiting == 1:
            self._woken.set()  # nobody waited, so nobody looked
        try:
            yield
        finally:
            self._waiting -= 1
