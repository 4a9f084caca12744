"""Whether there is an Asterisk: one node that answers is enough."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from deploy.stack.ports import LOOPBACK, free_port
from services.escalation.faults.detection.probes import ManagerProbe, bounded

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
SOMETHING_ELSE = b"220 mail.example ESMTP\r\n"


@pytest.fixture
async def greeters() -> AsyncIterator[dict[str, int]]:
    """What answers at a node → its port."""

    def greeter(text: bytes) -> object:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(text)
            await writer.drain()
            writer.close()

        return greet

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    servers = {
        "up": await asyncio.start_server(greeter(GREETING), LOOPBACK),  # type: ignore[arg-type] # a callback
        "foreign": await asyncio.start_server(greeter(SOMETHING_ELSE), LOOPBACK),  # type: ignore[arg-type]
        "hung": await asyncio.start_server(hang, LOOPBACK),
    }
    yield {name: server.sockets[0].getsockname()[1] for name, server in servers.items()} | {
        "away": free_port()
    }
    for server in servers.values():
        server.close()


@pytest.mark.parametrize(
    ("nodes", "health"),
    [
        # one node
        (["up"], "good"),
        (["away"], "bad"),
        (["foreign"], "bad"),
        (["hung"], "bad"),
        # of several, one is enough, wherever it is in the list
        (["away", "up"], "good"),
        (["up", "away"], "good"),
        (["hung", "up"], "good"),
        (["foreign", "up"], "good"),
        # none of several
        (["away", "foreign"], "bad"),
        (["hung", "away"], "bad"),
    ],
)
async def test_calls_can_be_placed_as_long_as_one_node_answers(
    greeters: dict[str, int], nodes: Sequence[str], health: str
) -> None:
    probe = ManagerProbe([(LOOPBACK, greeters[node]) for node in nodes])
    found = await bounded(probe, ["pbx"], 0.5)
    assert found["pbx"].health == health
