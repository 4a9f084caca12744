"""The watchdog and two machines, which are two little servers that are well, hang, drip or are not there."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from deploy.stack.ports import free_port
from tests.support.program import ROOT
from tests.support.receivers import SECRET, Receivers, receiving

WATCHDOG = ROOT / "deploy" / "watchdog" / "watchdog.py"
Mood = Literal["well", "stalled", "hung", "dripping", "garbage", "redirecting", "dead"]
WELL, DOWN, MISUSED = 0, 1, 2

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
STALLED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /livez\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Machine:
    """Answers as its mood is; `dead` refuses connections."""

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self.port = free_port()
        self._gone = asyncio.Event()

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        if self.mood == "dead":
            yield
            return
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        try:
            yield
        finally:
            self._gone.set()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
            match self.mood:
                case "hung":
                    await self._gone.wait()
                case "dripping":
                    for byte in OK * 100:  # a byte before any timeout of one read
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(0.5)
                case "stalled":  # it runs, and its loops do not get round
                    writer.write(OK if b"/livez" in asked else STALLED)
                case "garbage":
                    writer.write(b"\x00\xff not HTTP at all\r\n\r\n")
                case "redirecting":
                    writer.write(MOVED)
                case _:
                    writer.write(OK)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def look_once(directory: Path, machines: Sequence[Machine], desk: Receivers, **more: str) -> int:
    """Run the program for one look; return its exit status."""
    environment = {
        "WATCHDOG_URL": ", ".join(f"http://127.0.0.1:{machine.port}/" for machine in machines),
        "WATCHDOG_STATE": str(directory),
        "WATCHDOG_AFTER": "45",
        "WATCHDOG_PUSH_URL": f"http://127.0.0.1:{desk.http_port}/push",
        "WATCHDOG_PUSH_SECRET": SECRET,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", str(WATCHDOG), "--once", cwd="/", env=environment | more
    )
    return await process.wait()


PAIRS: tuple[tuple[Mood, Mood, int], ...] = (
    ("well", "well", WELL),
    # One answers: whatever the other one does, the desk is told of faults.
    ("dead", "well", WELL),
    ("well", "dead", WELL),
    ("hung", "well", WELL),
    ("dripping", "well", WELL),
    ("stalled", "well", WELL),
    ("garbage", "well", WELL),
    # Neither does.
    ("dead", "dead", DOWN),
    ("hung", "dead", DOWN),
    ("dripping", "stalled", DOWN),
    ("garbage", "redirecting", DOWN),
)


async def test_the_desk_has_nobody_only_when_neither_machine_gives_a_sign_of_life(tmp_path: Path) -> None:
    async def tried(first: Mood, second: Mood) -> int:
        machines = [Machine(first), Machine(second)]
        async with AsyncExitStack() as stack:
            for machine in machines:
                await stack.enter_async_context(machine.up())
            return await look_once(tmp_path / f"{first}-{second}", machines, desk)

    async with receiving() as desk:
        found = await asyncio.gather(*(tried(first, second) for first, second, _ in PAIRS))
        assert dict(zip(PAIRS, found, strict=True)) == {pair: pair[2] for pair in PAIRS}
        # None has been away for longer than it may.
        assert desk.got == []


def state(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "state.json").read_text()))


def let_pass(directory: Path, seconds: float) -> None:
    """Move everything that the watchdog remembers back in time."""
    known = state(directory)
    known["good_at"] -= seconds
    if known["fault"] is not None and known["fault"]["good_since"] is not None:
        known["fault"]["good_since"] -= seconds
    (directory / "state.json").write_text(json.dumps(known))


async def test_an_alarm_is_given_when_both_are_gone_and_its_end_when_one_is_back(tmp_path: Path) -> None:
    active, standby = Machine("well"), Machine("well")
    async with receiving() as desk, AsyncExitStack() as stack:
        machines = (active, standby)

        async def looked() -> int:
            return await look_once(tmp_path, machines, desk)

        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(active.up())
        second = await stack.enter_async_context(AsyncExitStack())
        await second.enter_async_context(standby.up())
        assert await looked() == WELL
        # The active one dies, for long: the other one answers.
        await first.aclose()
        for _ in range(2):
            let_pass(tmp_path, 60)
            assert await looked() == WELL
        # Both are gone: not at once an alarm, and one when it has been long enough.
        await second.aclose()
        assert await looked() == DOWN
        assert desk.got == []
        let_pass(tmp_path, 60)
        began = state(tmp_path)["good_at"]
        desk.refusing.add("push")
        assert await looked() == DOWN
        assert [one["item"]["type"] for one in state(tmp_path)["owed"]] == ["fault.opened"]
        desk.refusing.clear()
        known = state(tmp_path)
        known["owed"][0]["next_at"] = 0
        (tmp_path / "state.json").write_text(json.dumps(known))
        assert await looked() == DOWN
        (told,) = desk.got
        assert (told.channel, told.type, told.component) == ("push", "fault.opened", "escalation")
        assert "第1台 /livez 无应答" in told.text
        assert "第2台 /livez 无应答" in told.text
        # It is one fault, however long it lasts, and from the last sign of life of either.
        let_pass(tmp_path, 600)
        assert await looked() == DOWN
        assert state(tmp_path)["fault"]["began_at"] == began
        assert len(desk.got) == 1
        # One is back: told once it stays.
        standby.mood = "well"
        await stack.enter_async_context(standby.up())
        assert await looked() == WELL
        assert len(desk.got) == 1
        let_pass(tmp_path, 11)
        assert await looked() == WELL
        assert [one.type for one in desk.got] == ["fault.opened", "fault.recovered"]
        assert state(tmp_path)["owed"] == []
        proofs = (tmp_path / "journal.log").read_text().splitlines()
        assert [json.loads(line)["proof"] for line in proofs] == ["HTTP 204", "HTTP 204"]


@pytest.mark.parametrize("urls", [",", " , ", "ftp://127.0.0.1", "http://127.0.0.1:1,desk"])
async def test_an_address_that_cannot_be_asked_is_refused_at_the_start(tmp_path: Path, urls: str) -> None:
    async with receiving() as desk:
        assert await look_once(tmp_path, (), desk, WATCHDOG_URL=urls) == MISUSED
