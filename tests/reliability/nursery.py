"""Ordering processes from `tests.reliability.victim` and waiting for their ends."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from deploy.stack.service import ROOT
from tests.reliability.boundaries import Boundary, read_trace


@dataclass
class Victim:
    """One outbound process. `ended` is set, with its exit status (negative: signal), when it is gone."""

    pid: int
    trace: Path
    ended: asyncio.Future[int] = field(repr=False)

    @property
    def running(self) -> bool:
        return not self.ended.done()

    def reached(self) -> list[Boundary]:
        """The boundaries it came past so far, in order."""
        return read_trace(self.trace)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its sockets stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL it, unless it is dead already, and wait until it is gone."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await self.ended


class Nursery:
    """The process that begets victims; they die with it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._orders = 0
        self._born: dict[int, asyncio.Future[int]] = {}
        self._ends: dict[int, asyncio.Future[int]] = {}

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "nursery.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.reliability.victim"),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                cwd=ROOT,
            )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def beget(
        self, environment: Mapping[str, str], log: Path, kill_at: Boundary | None = None
    ) -> Victim:
        """Start an outbound process with these settings, which dies at a boundary when it comes to it."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._orders += 1
        order = self._orders
        loop = asyncio.get_running_loop()
        self._born[order], self._ends[order] = loop.create_future(), loop.create_future()
        trace = self._directory / f"{order}.trace"
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MOVECAR_")}
        line = {
            "id": order,
            "environment": plain | dict(environment),
            "log": str(log),
            "trace": str(trace),
            "kill_at": kill_at,
        }
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        return Victim(await self._born[order], trace, self._ends[order])

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "pid" in told:
                self._born[told["id"]].set_result(told["pid"])
            else:
                self._ends[told["id"]].set_result(told["status"])
