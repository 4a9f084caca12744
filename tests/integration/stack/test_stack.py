"""The production shape as one thing: it works, heals, stops completely, and leaves others alone."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from deploy.asterisk.prompts import Voice
from deploy.stack.child import PartFailedError
from deploy.stack.ports import free_port
from deploy.stack.stack import Stack, StackPlan

# three Python processes start in each stack: slow on a machine that is busy with other things
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
PASSWORD = "demo-password-for-tests"
QUICK = Voice("espeak-ng -v cmn -s 450 -w {wav} {text}")


def _plan(directory: Path, **more: Any) -> StackPlan:
    environment = {"MOVECAR_DEMO_PASSWORD": PASSWORD, "MOVECAR_RING_TIME": "5"}
    environment |= {"MOVECAR_REDIAL": '{"busy":[],"no_answer":[],"congestion":[],"hung_up":[]}'}
    quick: dict[str, Any] = {"voice": QUICK, "press_after": 0.2, "key_wait": 1, "durable": False}
    return StackPlan(directory, **(quick | {"environment": environment} | more))


class Reports:
    """What the stack says about its parts."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()

    async def wait_for(self, line: str) -> None:
        """Return once this line was said; fails after 120 s."""
        async with asyncio.timeout(120):
            while line not in self.lines:
                self._news.clear()
                await self._news.wait()


@pytest.fixture(scope="module")
def reports() -> Reports:
    return Reports()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(server_home: Path, reports: Reports) -> AsyncIterator[Stack]:
    async with Stack(_plan(server_home / "stack"), reports) as running:
        yield running


async def _case_reaches(stack: Stack, plate: str, status: str) -> dict[str, Any]:
    """Open a case for this plate and return it once it has this status; fails after 60 s."""
    async with aiohttp.ClientSession(stack.url) as client, asyncio.timeout(60):
        login = {"username": "op1", "password": PASSWORD}
        async with client.post("/api/v1/sessions", json=login) as answer:
            client.headers["Authorization"] = f"Bearer {(await answer.json())['token']}"
        body = {"plate": plate, "location": "延政中路1号", "requester_phone": "13912345678"}
        async with client.post("/api/v1/cases", json=body) as answer:
            case: dict[str, Any] = await answer.json()
        async with client.get("/api/v1/events") as events:
            while case["status"] != status:
                await events.content.readline()
                async with client.get(f"/api/v1/cases/{case['id']}") as answer:
                    case = await answer.json()
        return case


async def _ready(stack: Stack) -> None:
    """Return when the stack says it can take a case and place a call; fails after 120 s."""
    async with aiohttp.ClientSession(stack.url) as client, asyncio.timeout(120):
        while True:
            try:
                async with client.get("/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)  # nothing tells when an outside process is well again


async def test_a_case_goes_through_every_part_to_an_owner_called_from_0519110(stack: Stack) -> None:
    case = await _case_reaches(stack, "苏D10001", "notified")
    assert case["attempts"][0]["outcome"] == "agreed"
    (invite,) = [invite for invite in stack.owners.invites() if invite.called.endswith("5190001")]
    assert (invite.caller, invite.asserted) == ("0519110", "0519110")


# A crash of each part; the number of the plate keeps the cases apart.
CRASHES = [("asterisk", 0), ("redis", 2), ("postgres", 3), ("outbound", 4), ("movecar", 5), ("escalation", 6)]


@pytest.mark.parametrize(("part", "number"), CRASHES)
async def test_a_part_that_is_killed_is_started_again_and_cases_go_on(
    stack: Stack, reports: Reports, part: str, number: int
) -> None:
    before = stack.part(part).child.pid
    reports.lines.clear()
    stack.kill(part)
    await reports.wait_for(f"{part} runs again")
    assert stack.part(part).child.pid != before
    await _ready(stack)
    await _case_reaches(stack, f"苏D1000{number}", "escalated" if number > 4 else "notified")


async def test_a_part_that_is_taken_down_stays_down_until_it_is_brought_up(stack: Stack) -> None:
    await stack.take_down("redis")
    await asyncio.sleep(1.0)  # longer than the first pause before a restart
    assert not stack.redis.child.running
    await stack.bring_up("redis")
    assert stack.redis.child.running
    await _ready(stack)


async def test_a_second_stack_runs_beside_the_first_and_keeps_its_data_over_a_restart(
    stack: Stack, tmp_path: Path
) -> None:
    plan = _plan(tmp_path / "second")
    async with Stack(plan) as second:
        assert second.url != stack.url
        case = await _case_reaches(second, "苏D10001", "notified")
    assert all(stack.part(name).child.running for name in stack.parts)
    async with Stack(plan) as again, aiohttp.ClientSession(again.url) as client:
        login = {"username": "op1", "password": PASSWORD}
        async with client.post("/api/v1/sessions", json=login) as answer:
            bearer = {"Authorization": f"Bearer {(await answer.json())['token']}"}
        async with client.get(f"/api/v1/cases/{case['id']}", headers=bearer) as answer:
            assert (await answer.json())["plate"] == "苏D10001"  # sealed with the key that was kept


async def test_a_directory_is_used_by_one_stack_at_a_time(stack: Stack) -> None:
    with pytest.raises(PartFailedError, match="already running"):
        await Stack(_plan(stack.plan.directory)).start()
    assert all(stack.part(name).child.running for name in stack.parts)


async def test_a_start_that_fails_half_way_leaves_nothing_running(tmp_path: Path) -> None:
    plan = _plan(
        tmp_path / "broken", environment={"MOVECAR_DEMO_PASSWORD": PASSWORD, "MOVECAR_RETENTION_DAYS": "1"}
    )
    stack = Stack(plan)
    with pytest.raises(PartFailedError, match="RETENTION_DAYS"):
        await stack.start()
    assert {"postgres", "redis", "asterisk", "owners"} <= set(stack.parts)
    assert not any(stack.part(name).child.running for name in stack.parts)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_ctrl_c_stops_everything_that_the_command_started(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path / "data"), "LISTEN": f"127.0.0.1:{free_port()}"}
    settings["TRUNK_URI"] = "sip:127.0.0.1:9"
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.stack"),
        env=os.environ | {f"MOVECAR_{name}": value for name, value in settings.items()},
        stdout=asyncio.subprocess.PIPE,
    )
    assert command.stdout is not None
    async with asyncio.timeout(120):
        while "Ctrl-C" not in (line := (await command.stdout.readline()).decode()):
            assert line, "it ended by itself"
        children = _children(command.pid)
        assert len(children) == 6, "no owners of its own: calls go elsewhere"
        command.send_signal(signal.SIGINT)
        rest = await command.stdout.read()
        assert await command.wait() == 0
    assert b"stopping" in rest
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]  # noqa: PTH110, ASYNC240
