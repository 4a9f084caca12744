"""Two escalation processes that talk over wires which can be cut: a pair of machines (C4)."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from deploy.stack.ports import free_port
from tests.support.escalation import Escalation, neighbour
from tests.support.receivers import Receivers, receiving
from tests.web.line import Line

CHANNELS = ("push", "sms", "email")


class Two:
    """The active and the standby process, each behind a wire that can be cut."""

    def __init__(self, directory: Path, desk: Receivers) -> None:
        shared = {"MOVECAR_LISTEN": f"127.0.0.1:{free_port()}"}
        self.movecar = int(shared["MOVECAR_LISTEN"].rpartition(":")[2])
        self.active, self.standby = (
            Escalation(directory / role, desk.environment | shared | {"MOVECAR_ESCALATION_ROLE": role})
            for role in ("active", "standby")
        )
        self.lines = [Line(self.standby.address), Line(self.active.address)]

    async def start(self) -> None:
        for machine, line in zip((self.active, self.standby), self.lines, strict=True):
            await line.__aenter__()
            machine.log.parent.mkdir(exist_ok=True)
            machine.environment["MOVECAR_ESCALATION_PEER"] = f"http://{line.address}"
            await machine.start()
        for machine in (self.active, self.standby):
            await until_heard(machine, heard=True)

    async def close(self) -> None:
        for machine in (self.active, self.standby):
            await machine.kill(signal.SIGCONT)
            await machine.kill()
        for line in self.lines:
            await line.__aexit__(None, None, None)


@asynccontextmanager
async def pair(directory: Path) -> AsyncIterator[tuple[Two, Receivers]]:
    async with receiving() as desk:
        two = Two(directory, desk)
        try:
            async with neighbour(two.movecar):
                await two.start()
                yield two, desk
        finally:
            await two.close()


async def until_heard(machine: Escalation, *, heard: bool) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                _, found = await machine.ask("GET", "/faults/pair", "desk")
                if found["heard"] == heard:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
