"""The program as a person starts it: a child process with an environment, killed or stopped for real."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from deploy.stack.account import as_account, myself
from deploy.stack.ports import free_port
from tests.support.running import PASSWORD

ROOT = Path(__file__).parents[2]


class Child:
    """`python -m <module>` with settings of its own; may be started again after it died."""

    def __init__(self, module: str, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self.environment = dict(environment)
        self.process: Process | None = None
        self._module = module

    async def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *as_account([sys.executable, "-m", self._module], myself(), [], "KILL"),
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; after SIGKILL wait until it is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            if number == signal.SIGKILL:
                await self.ended()

    async def ended(self, seconds: float = 60) -> int:
        """Return its exit status once it has one."""
        if self.process is None:
            raise AssertionError("it was not started")
        return await asyncio.wait_for(self.process.wait(), seconds)


class Program(Child):
    """`python -m services` with its data in a directory."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.directory = directory
        settings = {
            "MOVECAR_LISTEN": self.address,
            "MOVECAR_DATA_DIR": str(directory / "var"),
            "MOVECAR_DEMO_PASSWORD": PASSWORD,
            "MOVECAR_SANDBOX_SPEED": "30",
            "MOVECAR_REDIAL": '{"busy":[0.2],"no_answer":[0.2,0.2],"congestion":[0.2],"hung_up":[0.2]}',
        }
        super().__init__("services", directory / "program.log", settings | environment)

    async def ready(self, seconds: float = 100) -> None:
        """Wait until `/readyz` says so. Raises AssertionError with the log's end when it does not."""
        try:
            async with asyncio.timeout(seconds), aiohttp.ClientSession() as client:
                while True:
                    with contextlib.suppress(aiohttp.ClientError):
                        async with client.get(f"http://{self.address}/readyz") as answer:
                            if answer.status == 200:
                                return
                    if self.process is not None and self.process.returncode is not None:
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        raise AssertionError(f"not ready; its log ends with:\n{self.log.read_text()[-3000:]}")


@contextlib.asynccontextmanager
async def program(directory: Path, **environment: str) -> AsyncIterator[Program]:
    """Run the program for the length of a block."""
    child = Program(directory, **environment)
    await child.start()
    try:
        yield child
    finally:
        await child.kill()
