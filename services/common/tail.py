"""Following a numbered table: one reader for the process, any number of live streams and long polls."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from services.common.clock import Clock

_RING = 2000
_BATCH = 500
_POLL_SECONDS = 0.25


class Numbered(Protocol):
    """An item with its place in the table."""

    @property
    def seq(self) -> int:
        """Rises by commit: a reader that has seen n never finds a new item at or below n."""


ItemT = TypeVar("ItemT", bound=Numbered)
Read = Callable[[int, int], Awaitable[Sequence[ItemT]]]


class Tail(Generic[ItemT]):
    """The newest items in memory, older ones read when asked for.

    `read(after, limit)` returns committed items in order; `last()` the newest number. `wake` is called by
    whoever commits in this process; commits of other processes are found within a quarter of a second while
    somebody follows.
    """

    def __init__(self, read: Read[ItemT], last: Callable[[], Awaitable[int]], clock: Clock) -> None:
        self._read = read
        self._last = last
        self._clock = clock
        self._recent: deque[ItemT] = deque(maxlen=_RING)
        self._start: int | None = None
        self._seen = 0
        self._woken = asyncio.Event()
        self._changed = asyncio.Condition()
        self._followers = 0
        self.closed = False

    def wake(self) -> None:
        """Look for new items now."""
        self._woken.set()

    async def run(self) -> None:
        """Read new items for ever and hand them to the followers."""
        if self._start is None:
            self._start = self._seen = await self._last()
        while True:
            self._woken.clear()
            while items := await self._read(self._seen, _BATCH):
                self._recent.extend(items)
                if len(self._recent) == _RING:
                    self._start = self._recent[0].seq - 1
                self._seen = items[-1].seq
                async with self._changed:
                    self._changed.notify_all()
            with contextlib.suppress(TimeoutError):
                # Without followers nobody waits for another process's items: look less often.
                pause = _POLL_SECONDS if self._followers else 4 * _POLL_SECONDS
                async with asyncio.timeout(pause):
                    await self._woken.wait()

    async def newest(self) -> int:
        """Return the newest number there is."""
        return max(self._seen, await self._last())

    async def after(self, seq: int, limit: int, wait: float = 0) -> Sequence[ItemT]:
        """Return up to `limit` items after `seq`; with none there, wait up to `wait` seconds for one."""
        if self._start is None or seq < self._start:
            items = await self._read(seq, limit)
            if items:
                return items
        self._followers += 1
        try:
            if wait > 0 and self._seen <= seq:
                async with self._changed:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._changed.wait_for(lambda: self._seen > seq or self.closed)
        finally:
            self._followers -= 1
        if self._start is None or seq < self._start:
            return await self._read(seq, limit)
        found: list[ItemT] = []
        for item in reversed(self._recent):
            if item.seq <= seq:
                break
            found.append(item)
        return found[: -limit - 1 : -1]

    async def follow(self, seq: int, wait: float = 15) -> AsyncIterator[ItemT]:
        """Give every item after `seq` for ever, until the tail is closed."""
        while not self.closed:
            for item in await self.after(seq, _BATCH, wait):
                seq = item.seq
                yield item

    async def close(self) -> None:
        """Let all followers go."""
        self.closed = True
        async with self._changed:
            self._changed.notify_all()
