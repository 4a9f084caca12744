import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator

import asterisk.ami
import pytest

from services.common.ami import Address, AmiLink, Event, LinkDown, LinkUp, Notice, Timing
from tests.unit.common.ami.peer import DEADLINE, SECRET, USER, Peer


class RunningLink:
    """A link under supervision and the notices it gave."""

    def __init__(self, link: AmiLink) -> None:
        self.link = link

    async def notice(self) -> Notice:
        async with asyncio.timeout(DEADLINE):
            notice = await self.link.take()
        assert notice is not None
        return notice

    async def up(self) -> None:
        assert isinstance(await self.notice(), LinkUp)

    async def down(self) -> str:
        notice = await self.notice()
        assert isinstance(notice, LinkDown)
        return notice.reason

    async def events(self, count: int) -> list[Event]:
        events: list[Event] = []
        while len(events) < count:
            notice = await self.notice()
            assert isinstance(notice, tuple)
            events += notice
        return events


StartLink = Callable[..., RunningLink]

QUIET = Timing(ping_every=60, first_retry=0.01, last_retry=0.05)
WANTED = frozenset({"UserEvent", "Hangup", "Newstate", "OriginateResponse"})


@pytest.fixture
async def start_link() -> AsyncIterator[StartLink]:
    tasks: list[asyncio.Task[None]] = []

    def start(
        port: int,
        *,
        host: str = "127.0.0.1",
        secret: str = SECRET,
        tls: ssl.SSLContext | None = None,
        timing: Timing = QUIET,
        max_backlog: int = 100_000,
    ) -> RunningLink:
        link = AmiLink(
            Address(host, port, tls), USER, secret, wanted=WANTED, timing=timing, max_backlog=max_backlog
        )
        tasks.append(asyncio.create_task(link.run()))
        return RunningLink(link)

    yield start
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, asyncio.CancelledError)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


BareClient = Callable[..., asterisk.ami.AMIClient]


@pytest.fixture
def bare() -> Iterator[BareClient]:
    """Make asterisk-ami's own clients, and clean up what they leave behind."""
    clients: list[asterisk.ami.AMIClient] = []

    def make(port: int, address: str = "127.0.0.1", timeout: float = 0.2) -> asterisk.ami.AMIClient:
        clients.append(asterisk.ami.AMIClient(address, port, timeout=timeout))
        return clients[-1]

    yield make
    for client in clients:
        if client._socket is not None:
            with contextlib.suppress(OSError):
                client._socket.shutdown(socket.SHUT_RDWR)
            if client._thread is not None:
                client.finished.set()
                client._thread.join(DEADLINE)
            client._socket.close()
