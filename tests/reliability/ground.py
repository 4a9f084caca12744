"""The ground that everything happens on: one PostgreSQL, Redis, Asterisk and SIPp, and who watches them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from deploy.asterisk.prompts import Voice, prompt_directory
from deploy.stack.ami_probe import AmiProbe
from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from deploy.stack.postgres import Postgres
from deploy.stack.redis import Redis
from tests.bench.switch import HastySwitch
from tests.reliability.nursery import Nursery
from tests.reliability.owners import make_owners

RING_SECONDS = 5
PRESS_AFTER = 0.3
_MOST_CALLS = 500
_LOOK_SECONDS = 0.2
QUICK = "espeak-ng -v cmn -s 450 -w {wav} {text}"
"""A voice so quick that a whole greeting takes two seconds."""


class Channels:
    """Which channels are up in the switch, as the switch itself says on a connection of our own."""

    def __init__(self, asterisk: Asterisk) -> None:
        self._asterisk = asterisk
        self._up: frozenset[str] = frozenset()
        self._looked = asyncio.Condition()

    async def watch(self) -> None:
        """Look for ever; a switch that is away has no channels."""
        probe: AmiProbe | None = None
        try:
            while True:
                try:
                    if probe is None:
                        probe = await asyncio.to_thread(self._asterisk.connect)
                    up = await asyncio.to_thread(_channels, probe)
                except (OSError, RuntimeError):
                    if probe is not None:
                        probe.close()
                    probe, up = None, frozenset()
                async with self._looked:
                    self._up = up
                    self._looked.notify_all()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if probe is not None:
                probe.close()

    async def over(self, attempts: set[str]) -> None:
        """Wait until none of these is up."""
        async with self._looked:
            # What was asked for before now is in neither of these answers.
            for _ in range(2):
                await self._looked.wait()
            await self._looked.wait_for(lambda: not attempts & self._up)


def _channels(probe: AmiProbe) -> frozenset[str]:
    probe.ask(("Action", "CoreShowChannels"))
    events = probe.until(lambda event: event.get("Event") == "CoreShowChannelsComplete")
    return frozenset(event.get("Uniqueid", "") for event in events if event.get("Event") == "CoreShowChannel")


@dataclass(frozen=True)
class Ground:
    """The servers, shared by everything that runs at a time."""

    directory: Path
    postgres: Postgres
    redis: Redis
    owners: Owners
    asterisk: Asterisk
    nursery: Nursery
    channels: Channels


@contextlib.asynccontextmanager
async def ground(directory: Path) -> AsyncIterator[Ground]:
    """Start everything, stop everything. Raises PartMissingError, PartFailedError."""
    open_to_all(directory)
    postgres = Postgres(directory / "postgres", durable=False)
    redis = Redis(directory / "redis")
    owners = make_owners(directory / "owners", press_after=PRESS_AFTER)
    prompts = await asyncio.to_thread(prompt_directory, Voice(QUICK))
    asterisk = HastySwitch(
        directory / "asterisk",
        prompts=prompts,
        trunk_uri=owners.uri,
        key_wait=1,
        max_calls=_MOST_CALLS,
    )
    servers = (postgres, redis, owners, asterisk)
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.spawn()  # on this thread: children die with the thread that made them
        for server in servers:
            await asyncio.to_thread(server.wait_ready)
        nursery = await stack.enter_async_context(Nursery(directory / "victims"))
        channels = Channels(asterisk)
        watching = asyncio.create_task(channels.watch())
        stack.push_async_callback(_ended, watching)
        yield Ground(directory, postgres, redis, owners, asterisk, nursery, channels)


def open_to_all(directory: Path) -> None:
    """Make a directory below which the servers' accounts can reach their own ones."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
