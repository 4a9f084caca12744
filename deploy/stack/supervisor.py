"""Keeps parts running: one that dies is started again, later each time it dies soon after its start."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol

from deploy.stack.child import Child

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY = 60.0
"""Seconds after which a part counts as well again, and the next pause is the first one."""


class Part(Protocol):
    """A server or a service. `spawn` returns at once; `wait_ready` blocks and raises PartFailedError."""

    @property
    def child(self) -> Child: ...
    def spawn(self) -> None: ...
    def wait_ready(self, deadline: float = ...) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Supervisor:
    """Watches parts that are running. `report` is told, in one line, of every death and restart."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._watches: dict[str, asyncio.Task[None]] = {}

    def watch(self, name: str, part: Part) -> None:
        """Keep this part, which runs, running from now on."""
        self._watches[name] = asyncio.create_task(self._keep(name, part), name=f"keep {name}")

    async def leave(self, name: str) -> None:
        """Watch this part no longer."""
        watch = self._watches.pop(name, None)
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def close(self) -> None:
        """Watch nothing any more."""
        for name in list(self._watches):
            await self.leave(name)

    async def _keep(self, name: str, part: Part) -> None:
        pause = FIRST_PAUSE
        while True:
            since = time.monotonic()
            await _ended(part.child)
            if time.monotonic() - since > STEADY:
                pause = FIRST_PAUSE
            self._report(f"{name} stopped with {part.child.exit_code}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            try:
                part.spawn()
                await asyncio.to_thread(part.wait_ready)
            except Exception as error:  # a full disk, say: whatever it is, trying again is the only cure here
                self._report(f"{name}: {error}")
            else:
                self._report(f"{name} runs again")


async def _ended(child: Child) -> None:
    """Return when the process has ended."""
    try:
        watch = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(watch, ended.set)
    try:
        if child.running:
            await ended.wait()
    finally:
        loop.remove_reader(watch)
        os.close(watch)
    child.wait(1.0)
