"""What `make run` starts: everything in one process, as a newcomer sees it."""

import asyncio
import hashlib
import io
import signal
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.cases import new_case, open_until, recording_of, until
from tests.support.program import Program, program
from tests.support.running import Client

SETTLED = {"notified", "escalated", "attention", "closed"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    async with program(tmp_path_factory.mktemp("embedded")) as child:
        await child.ready()
        yield child


@pytest_asyncio.fixture(loop_scope="module")
async def operator(running: Program) -> AsyncIterator[Client]:
    async with Client(running.address) as client:
        yield await client.log_in("op1")


@pytest_asyncio.fixture(loop_scope="module")
async def desk(running: Program) -> AsyncIterator[Client]:
    async with Client(running.address) as client:
        yield await client.log_in("desk1")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("plate", "status", "reason", "outcomes"),
    [
        ("苏D10000", "notified", None, ["agreed"]),
        ("苏D10001", "notified", None, ["agreed"]),
        ("苏D10006", "escalated", "unreachable", ["busy", "busy"]),
        ("苏D10007", "escalated", "unreachable", ["no_answer", "no_answer", "no_answer"]),
        # Declined is not redialled: the owner was there and would not talk.
        ("苏D10008", "escalated", "unreachable", ["declined"]),
        ("苏D10009", "escalated", "unreachable", ["hung_up", "hung_up"]),
        # The first number is busy until its rules run out, the second one agrees.
        ("苏D20061", "notified", None, ["busy", "busy", "agreed"]),
    ],
)
async def test_the_owners_last_digit_decides_where_the_case_goes(
    operator: Client, plate: str, status: str, reason: str | None, outcomes: list[str]
) -> None:
    case = await open_until(operator, plate, SETTLED)
    assert case["status"] == status
    assert (case["escalation"] or {}).get("reason") == reason
    assert [attempt["outcome"] for attempt in case["attempts"]] == outcomes


async def test_a_dispute_reaches_the_waiting_desk_and_comes_back(operator: Client, desk: Client) -> None:
    _, before = await desk.get("/feed/snapshot")
    waiting = asyncio.create_task(item_about(desk, "苏D10005", before["seq"], "escalation.raised"))
    case = await open_until(operator, "苏D10005", "escalated")
    item = await waiting
    assert item["data"]["reason"] == "dispute"
    assert (item["data"]["priority"], item["data"]["plate_kind"]) == ("normal", "ordinary")
    # The recording is there once the call is over; the desk may hear it, and no other.
    updated = await item_about(desk, "苏D10005", item["seq"], "escalation.updated")
    recording = updated["data"]["attempts"][0]["recording_id"]
    async with desk.http.get(f"{desk.base}/api/v1/recordings/{recording}/audio") as answer:
        assert (answer.status, (await answer.read())[:4]) == (200, b"RIFF")
    escalation = case["escalation"]["id"]
    assert (await desk.post(f"/escalations/{escalation}/ack", {"officer": "王警官"}))[0] == 200
    await until(operator, case["id"], "handed_over")
    disposition = {"code": "moved", "note": "已到场处理"}
    assert (await desk.post(f"/escalations/{escalation}/disposition", disposition))[0] == 200
    closed = await until(operator, case["id"], "closed")
    assert closed["outcome"] == "handled_by_110"


async def item_about(desk: Client, plate: str, after: int, kind: str) -> dict[str, Any]:
    """Return the next feed item of a type about a plate, waiting for it as the desk does."""
    async with asyncio.timeout(60):
        while True:
            _, page = await desk.get(f"/feed?after={after}&wait=10")
            for item in page["items"]:
                if (item["type"], item["data"].get("plate")) == (kind, plate):
                    return dict(item)
            after = page["next"]


async def test_the_desk_hears_no_call_that_is_not_before_it(operator: Client, desk: Client) -> None:
    case = await open_until(operator, "苏D10003", SETTLED)
    recording = await recording_of(operator, case["id"])
    status, _ = await desk.get(f"/recordings/{recording}/audio")
    assert status == 404


async def test_the_recording_of_a_call_can_be_played(running: Program, operator: Client) -> None:
    case = await open_until(operator, "苏D10004", "notified")
    recording = await recording_of(operator, case["id"])
    async with Client(running.address) as client:
        await client.log_in("aud1")
        _, page = await client.get("/recordings", params={"case": case["number"]})
        (item,) = page["items"]
        async with client.http.get(f"http://{running.address}{item['audio']}") as answer:
            content = await answer.read()
    assert (item["id"], item["sha256"]) == (recording, hashlib.sha256(content).hexdigest())
    with wave.open(io.BytesIO(content)) as sound:
        assert sound.getframerate() == 8000
        assert any(sound.readframes(1000))


async def test_a_withdrawn_case_leaves_the_desk(operator: Client, desk: Client) -> None:
    case = await open_until(operator, "苏D10008", "escalated")
    await operator.post(f"/cases/{case['id']}/withdraw", {"note": "车已开走"})
    async with asyncio.timeout(60):
        while True:
            _, escalation = await desk.get(f"/escalations/{case['escalation']['id']}")
            if escalation["status"] == "withdrawn":
                break
            await asyncio.sleep(0.02)
    status, problem = await desk.post(f"/escalations/{escalation['id']}/ack", {})
    assert (status, problem["code"]) == (409, "illegal_transition")


async def test_no_log_line_holds_a_plate_or_a_number(running: Program, operator: Client) -> None:
    await open_until(operator, "苏D10002", SETTLED)
    log = running.log.read_text().split("按 Ctrl-C 停止", 1)[-1]
    assert "listening" in running.log.read_text()
    assert "139051" not in log
    assert "苏D10002" not in log
    assert "13912345678" not in log


async def test_a_dispute_that_nobody_takes_is_acknowledged_on_the_desks_line(tmp_path: Path) -> None:
    """The desk's number ends in 1: in the sandbox it answers and presses 1 (C3)."""
    impatient = {
        "MOVECAR_DESK_PHONE": "0519-81997321",
        "MOVECAR_ACK_REMIND": "1",
        "MOVECAR_ACK_CALL": "2",
    }
    async with (
        program(tmp_path, **impatient) as child,
        Client(child.address) as client,
        Client(child.address) as desk,
    ):
        await child.ready()
        await client.log_in("op1")
        await desk.log_in("desk1")
        case = await open_until(client, "苏D10005", "handed_over", seconds=60)
        _, chain = await desk.get(f"/escalations/{case['escalation']['id']}/chain")
        assert [step["step"] for step in chain["steps"]] == ["remind", "call"]
        assert [(call["outcome"], call["key"]) for call in chain["calls"]] == [("acknowledged", "1")]
        _, history = await client.get(f"/cases/{case['id']}/history")
        happened = [item["trigger"] for item in history["items"]]
        assert happened[-3:] == ["desk_reminded", "desk_called", "acknowledged"]


async def test_killed_in_the_middle_of_calls_it_loses_no_case_and_rings_nobody_twice(tmp_path: Path) -> None:
    """The sandbox dies with the process, so what it was calling is unknown and left to a person (B5)."""
    async with program(tmp_path, MOVECAR_SANDBOX_SPEED="3") as child, Client(child.address) as client:
        await child.ready()
        await client.log_in("op1")
        opened = [(await client.post("/cases", new_case(f"苏D1000{digit}")))[1] for digit in range(10)]
        async with asyncio.timeout(60):
            while True:
                _, page = await client.get("/cases?status=calling")
                if any(case["attempts"] for case in page["items"]):
                    break
        await child.kill()
        child.environment["MOVECAR_SANDBOX_SPEED"] = "60"  # the rest need not take as long
        await child.start()
        await child.ready()
        for case in opened:
            settled = await until(client, case["id"], SETTLED, seconds=90)
            rung = [attempt for attempt in settled["attempts"] if attempt["outcome"] == "unknown"]
            assert len(rung) <= 1
            if rung:
                assert settled["status"] == "attention"
                assert settled["attention_reason"] == "call_unknown"


async def test_an_interrupt_stops_it_cleanly_also_with_streams_open(tmp_path: Path) -> None:
    async with program(tmp_path) as child, Client(child.address) as client:
        await child.ready()
        await client.log_in("op1")
        async with client.http.get(f"{client.base}/api/v1/events") as stream:
            assert stream.status == 200
            await child.kill(signal.SIGINT)
            assert await child.ended(10) == 0
        assert "Traceback" not in child.log.read_text()
        assert "Task was destroyed" not in child.log.read_text()


async def test_a_wrong_setting_stops_the_start_by_name(tmp_path: Path) -> None:
    async with program(tmp_path, MOVECAR_RETENTION_DAYS="30", MOVECAR_LISTEN="everywhere") as child:
        assert await child.ended(30) == 2
        said = child.log.read_text()
        assert "MOVECAR_RETENTION_DAYS" in said
        assert "MOVECAR_LISTEN" in said
        assert "Traceback" not in said
