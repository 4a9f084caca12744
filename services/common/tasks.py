"""Background work that must never stop silently."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.common.clock import Clock
from services.common.database import is_outage
from services.common.metrics import TASK_RESTARTS

log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
_CALM_SECONDS = 60.0
_ASK_AGAIN_SECONDS = 1.0


async def repeat(look: Callable[[], Awaitable[object]], clock: Clock, seconds: float, waits: str) -> None:
    """Look for ever, so many seconds apart. A database that is away only delays it, logged as `waits`."""
    while True:
        try:
            await look()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning(waits, error=repr(error))
        await clock.sleep(seconds)


class Tasks:
    """Named tasks, each restarted with back-off when it ends or raises, until closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Keep `work` running under this name. Raises ValueError when the name is taken."""
        if name in self._running:
            raise ValueError(f"a task named {name} is running")
        self._running[name] = asyncio.create_task(self._keep(name, work), name=name)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        wait = _FIRST_WAIT_SECONDS
        while True:
            started = self._clock.monotonic()
            try:
                await work()
                log.error("task_ended", task=name)
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("task_crashed", task=name)
            TASK_RESTARTS.labels(name).inc()
            if self._clock.monotonic() - started > _CALM_SECONDS:
                wait = _FIRST_WAIT_SECONDS
            await self._clock.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def close(self) -> None:
        """Cancel every task and wait until each has let go of what it held."""
        open_tasks = set(self._running.values())
        while open_tasks:
            for task in open_tasks:
                task.cancel()
            # Again after a while: libraries lose a cancellation (`asyncio.wait_for` itself until 3.12).
            _, open_tasks = await asyncio.wait(open_tasks, timeout=_ASK_AGAIN_SECONDS)
        self._running.clear()
