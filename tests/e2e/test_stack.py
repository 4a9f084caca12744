"""The main line on real parts: PostgreSQL, Redis, Asterisk, SIPp owners and the three services."""

import array
import asyncio
import base64
import cmath
import hashlib
import io
import json
import os
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.asterisk.prompts import Voice
from deploy.stack.sip_trace import Invite
from deploy.stack.stack import Stack, StackPlan
from services.common.clock import SystemClock, local
from services.common.http.times import rfc3339
from services.common.ids import new_id
from tests.support.cases import REQUESTER, new_case, open_until, recording_of, until
from tests.support.program import ROOT
from tests.support.running import PASSWORD, SECRET, Client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

SETTLED = {"notified", "escalated", "attention", "closed"}
OWNERS: list[tuple[str, str, list[str], str, str | None]] = [
    # plate, owner's number, outcomes of the calls, status of the case, reason at the desk or for attention
    ("苏E00000", "13905190000", ["agreed"], "notified", None),
    ("苏E00001", "13905190001", ["agreed"], "notified", None),
    ("苏E00002", "13905190002", ["agreed"], "notified", None),
    ("苏E00003", "13905190003", ["agreed"], "notified", None),
    ("苏E00004", "13905190004", ["agreed"], "notified", None),
    ("苏E00005", "13905190005", ["disputed"], "escalated", "dispute"),
    ("苏E00006", "13905190006", ["busy", "busy"], "escalated", "unreachable"),
    ("苏E00007", "13905190007", ["no_answer", "no_answer"], "escalated", "unreachable"),
    ("苏E00008", "13905190008", ["declined"], "escalated", "unreachable"),
    ("苏E00009", "13905190009", ["hung_up", "hung_up"], "escalated", "unreachable"),
    ("苏E00100", "13900000100", ["wanted_operator"], "attention", "wanted_operator"),
    ("苏E00103", "13900000103", ["refused"], "escalated", "owner_uncooperative"),
    ("苏E00110", "13900000110", ["no_input"], "escalated", "unreachable"),
    # A number that does not exist is nobody's: a person corrects the plate or asks again.
    ("苏E00404", "13900000404", ["unallocated"], "attention", "no_numbers"),
    ("苏E00501", "13900000501", ["failed"], "attention", "call_failed"),
    ("苏E00503", "13900000503", ["congestion", "congestion"], "escalated", "unreachable"),
    # The wrong number first, then the right one.
    ("苏E00405", "13900000404;13905190001", ["unallocated", "agreed"], "notified", None),
]

TALKS = ("苏E00120", "13900000120")
"""Plate and number of an owner who listens, talks and presses nothing."""
LISTENS = ("苏E00121", "13900000121")
"""Of one who presses 1 only 12 seconds after answering."""
ASKED_ANEW = ("苏E00014", "13905190014")
"""Of one who is called under the second script alone."""
PITCH = 1200
"""Hz of the tone that stands for the second script's greeting."""


def _write_registry(directory: Path) -> Path:
    directory.chmod(0o755)  # the servers' accounts must reach their own directories below it
    registry = directory / "registry.csv"
    rows = [f"{plate},blue,某某,{phones}" for plate, phones, *_ in [*OWNERS, TALKS, LISTENS, ASKED_ANEW]]
    registry.write_text("\n".join(["plate,color,owner,phones", *rows, ""]), "utf-8")
    return registry


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="movecar-") as home:  # short: sockets live in it
        directory = Path(home)
        registry = _write_registry(directory)
        plan = StackPlan(
            directory=directory / "stack",
            press_after=0.3,
            key_wait=1,
            talk_seconds=12,
            voice=Voice("espeak-ng -v cmn -s 450 -w {wav} {text}"),
            durable=False,
            environment={
                "MOVECAR_DEMO_PASSWORD": PASSWORD,
                "MOVECAR_SECRET_KEY": SECRET,
                "MOVECAR_REGISTRY_CSV": str(registry),
                "MOVECAR_RING_TIME": "5",
                "MOVECAR_REDIAL": '{"busy":[0.5],"no_answer":[0.5],"congestion":[0.5],"hung_up":[0.5]}',
            },
        )
        async with Stack(plan) as stack:
            yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def operator(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.plan.listen) as client:
        yield await client.log_in("op1")


@pytest_asyncio.fixture(loop_scope="module")
async def supervisor(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.plan.listen) as client:
        yield await client.log_in("sup1")


@pytest_asyncio.fixture(loop_scope="module")
async def desk(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.plan.listen) as client:
        yield await client.log_in("desk1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settled(stack: Stack) -> dict[str, dict[str, Any]]:
    """Every owner's case, all opened at once, each where it came to rest: plate → case."""
    async with Client(stack.plan.listen) as client:
        await client.log_in("op1")
        cases = await asyncio.gather(*(open_until(client, plate, SETTLED, 120) for plate, *_ in OWNERS))
        # A case comes to rest on the keypress; the call's own end follows it.
        ended = [await _ended(client, case["id"]) for case in cases]
    return {case["plate"]: case for case in ended}


async def _ended(client: Client, case_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            _, case = await client.get(f"/cases/{case_id}")
            if all(attempt["state"] == "ended" for attempt in case["attempts"]):
                return dict(case)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("plate", "phones", "outcomes", "status", "reason"), OWNERS)
async def test_what_the_owner_does_decides_where_the_case_goes(
    settled: dict[str, dict[str, Any]],
    plate: str,
    phones: str,
    outcomes: list[str],
    status: str,
    reason: str | None,
) -> None:
    case = settled[plate]
    assert [attempt["outcome"] for attempt in case["attempts"]] == outcomes
    assert case["status"] == status
    told = case["attention_reason"] if status == "attention" else (case["escalation"] or {}).get("reason")
    assert told == reason


async def test_every_answered_call_says_when_the_greeting_was_heard_and_which_key_came_when(
    settled: dict[str, dict[str, Any]],
) -> None:
    keys = {"agreed": "1", "disputed": "2", "refused": "3", "wanted_operator": "0"}
    for attempt in (attempt for case in settled.values() for attempt in case["attempts"]):
        assert attempt["key"] == keys.get(attempt["outcome"])
        if attempt["key"]:
            heard = ("answered_at", "greeting_started_at", "greeting_ended_at", "key_at", "ended_at")
            moments = [datetime.fromisoformat(attempt[name]) for name in heard]
            assert moments == sorted(moments)
        elif attempt["outcome"] == "no_input":
            assert attempt["greeting_started_at"] < attempt["greeting_ended_at"]
        else:
            assert (attempt["greeting_ended_at"], attempt["key_at"]) == (None, None)


async def test_every_call_on_the_wire_shows_0519110_and_nothing_else(
    stack: Stack, settled: dict[str, dict[str, Any]]
) -> None:
    invites: list[Invite] = stack.owners.invites()
    assert len(invites) == sum(len(outcomes) for _, _, outcomes, _, _ in OWNERS)
    assert {invite.caller for invite in invites} == {"0519110"}
    assert {invite.asserted for invite in invites} == {"0519110"}
    assert {identity for invite in invites for identity in invite.identities} <= {"0519110"}


async def test_every_call_on_the_wire_is_an_attempt_and_no_number_was_rung_twice_for_one(
    stack: Stack, settled: dict[str, dict[str, Any]]
) -> None:
    rung = sorted(invite.called for invite in stack.owners.invites())
    planned = []
    for _, phones, outcomes, _, _ in OWNERS:
        numbers = phones.split(";")
        planned += numbers if len(numbers) > 1 else numbers * len(outcomes)
    assert rung == sorted(planned)


async def test_every_answered_call_is_kept_sealed_verified_and_can_be_played(
    stack: Stack, settled: dict[str, dict[str, Any]], operator: Client, supervisor: Client
) -> None:
    answered = {
        attempt["id"]: case["id"]
        for case in settled.values()
        for attempt in case["attempts"]
        if attempt["answered_at"] is not None and attempt["outcome"] != "hung_up"
    }
    assert len(answered) >= 9
    recordings = {attempt: await recording_of(operator, case, attempt) for attempt, case in answered.items()}
    for attempt, recording in recordings.items():
        async with supervisor.http.get(f"{supervisor.base}/api/v1/recordings/{recording}/audio") as answer:
            assert answer.status == 200
            content = await answer.read()
        with wave.open(io.BytesIO(content)) as sound:
            frames = sound.readframes(sound.getnframes())
        assert len(frames) > 2000, attempt
        assert any(frames), attempt
    _, page = await supervisor.get("/recordings?limit=200")
    found = {item["attempt_id"]: item for item in page["items"]}
    assert {attempt: found[attempt]["id"] for attempt in answered} == recordings
    assert {item["fault"] for item in found.values()} == {None}


async def test_the_spool_is_empty_once_every_call_has_ended(
    stack: Stack, settled: dict[str, dict[str, Any]]
) -> None:
    spool = Path(stack.asterisk.settings.recordings)
    async with asyncio.timeout(60):
        # Another program deletes the files: there is no event to wait for.
        while await asyncio.to_thread(lambda: list(spool.iterdir())):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_the_stored_recordings_are_those_of_the_catalogue(
    stack: Stack, settled: dict[str, dict[str, Any]]
) -> None:
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "recordings", "verify"),
        cwd=ROOT,
        env=os.environ | stack.environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, report = await run.communicate()
    assert run.returncode == 0, report.decode()
    assert "0 个有问题" in report.decode()


async def test_no_answer_and_no_log_holds_an_owners_number(
    stack: Stack, settled: dict[str, dict[str, Any]]
) -> None:
    numbers = {number for _, phones, *_ in OWNERS for number in phones.split(";")}
    answers = str(settled)
    logs = "".join(path.read_text(errors="replace") for path in stack.logs.glob("*.log"))
    for number in numbers:
        assert number not in answers
        assert number not in logs


async def test_a_keypress_reaches_the_waiting_desk_and_its_answer_reaches_the_case(
    stack: Stack, settled: dict[str, dict[str, Any]], operator: Client, desk: Client
) -> None:
    case = settled["苏E00005"]
    _, page = await desk.get("/feed?after=0&limit=200")
    ours = [item for item in page["items"] if item["data"].get("case_id") == case["id"]]
    (item,) = [item for item in ours if item["type"] == "escalation.raised"]
    assert item["data"]["plate"] == "苏E00005"
    assert item["data"]["requester_phone"] == REQUESTER
    escalation = case["escalation"]["id"]
    first = await desk.post(f"/escalations/{escalation}/ack", {"officer": "王警官"})
    assert await desk.post(f"/escalations/{escalation}/ack", {"officer": "王警官"}) == first
    await until(operator, case["id"], "handed_over")
    disposition = {"code": "settled", "note": "双方已协商"}
    assert (await desk.post(f"/escalations/{escalation}/disposition", disposition))[0] == 200
    closed = await until(operator, case["id"], "closed")
    assert closed["outcome"] == "handled_by_110"


async def test_the_feed_has_every_escalation_once_and_no_gap(
    settled: dict[str, dict[str, Any]], desk: Client
) -> None:
    _, page = await desk.get("/feed?after=0&limit=200")
    sequence = [item["seq"] for item in page["items"]]
    assert sequence == list(range(1, len(sequence) + 1))
    raised = [item for item in page["items"] if item["type"] == "escalation.raised"]
    escalated = [case for case in settled.values() if case["escalation"]]
    assert sorted(item["data"]["case_id"] for item in raised) == sorted(case["id"] for case in escalated)


async def test_one_address_serves_the_desks_paths_and_their_documentation(
    operator: Client, desk: Client
) -> None:
    status, document = await operator.get("/openapi.json")
    assert status == 200
    assert {"/api/v1/cases", "/api/v1/feed", "/api/v1/escalations/{id}/ack"} <= set(document["paths"])
    assert (await operator.get("/feed"))[0] == 403
    assert (await desk.get(f"/escalations/{new_id()}"))[0] == 404


async def test_a_case_in_bridge_mode_lets_the_operator_talk_with_the_owner_and_say_what_came_of_it(
    stack: Stack,
) -> None:
    async with Client(stack.plan.listen) as client:
        await client.log_in("op2")
        _, case = await client.post("/cases", new_case(TALKS[0], mode="bridge"))
        case = await until(client, case["id"], "attention", 60)
        assert case["attention_reason"] == "wanted_operator"
        answered = await client.post(f"/cases/{case['id']}/record-answer", {"answer": "agreed"})
        assert (answered[0], answered[1]["status"]) == (200, "notified")
        (attempt,) = (await _ended(client, case["id"]))["attempts"]
    assert (attempt["outcome"], attempt["reason"]) == ("wanted_operator", "bridged")
    assert attempt["answered_at"] <= attempt["bridged_at"] <= attempt["ended_at"]
    wire = stack.seats.trace.read_text("utf-8")
    assert [invite.called for invite in stack.seats.invites()].count("seat-op2") == 1
    assert TALKS[1] not in wire


async def test_redis_flushed_in_the_middle_of_calls_loses_nothing(stack: Stack, operator: Client) -> None:
    await _close(operator, "苏E00001")
    status, case = await operator.post("/cases", new_case("苏E00001"))
    assert status == 201
    stack.redis.flush()
    settled = await until(operator, case["id"], SETTLED, 60)
    assert settled["status"] == "notified"
    assert len(settled["attempts"]) == 1


@pytest.mark.parametrize("victim", ["movecar", "outbound", "escalation", "redis"])
async def test_a_killed_part_comes_back_and_no_case_is_lost_nor_owner_rung_twice(
    stack: Stack, victim: str
) -> None:
    async with Client(stack.plan.listen) as client:
        await client.log_in("op1")
        await _close(client, "苏E00002")
        before = len(stack.owners.invites())
        status, case = await client.post("/cases", new_case("苏E00002"))
        assert status == 201
        stack.kill(victim)
        await _ready(stack)
        settled = await until(client, case["id"], SETTLED, 90)
    rung = len(stack.owners.invites()) - before
    if settled["status"] == "attention":
        # Killed between its claim and the effect: whether the owner was rung is not known (B5).
        assert settled["attention_reason"] == "call_unknown"
        assert rung <= 1
    else:
        assert settled["status"] == "notified"
        assert rung == 1


async def _close(client: Client, plate: str) -> None:
    _, page = await client.get("/cases", params={"plate": plate, "status": "notified"})
    for case in page["items"]:
        assert (await client.post(f"/cases/{case['id']}/confirm-moved"))[0] == 200


async def _ready(stack: Stack) -> None:
    deadline = SystemClock().monotonic() + 60
    async with Client(stack.plan.listen) as client:
        while SystemClock().monotonic() < deadline:
            try:
                async with client.http.get(f"{client.base}/readyz") as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError(f"not ready again; its logs are in {stack.logs}")


# The last one: from here on the greeting of this stack is another one.
async def test_a_greeting_changes_under_a_written_notice_for_the_calls_that_follow_and_for_no_other(
    stack: Stack, operator: Client, supervisor: Client
) -> None:
    scan = b"%PDF-1.4\n" + os.urandom(3 * 1024 * 1024) + b"\n%%EOF\n"
    async with Client(stack.plan.listen) as author, Client(stack.plan.listen) as other:
        await author.log_in("adm1")
        await other.log_in("adm2")
        status, script = await author.post("/call-scripts", large=_second_script(scan))
        assert (status, script["version"], script["status"]) == (201, 2, "draft")
        approve = f"/call-scripts/{script['id']}/approve"
        status, problem = await author.post(approve)
        assert (status, problem["code"]) == (409, "same_person")
        status, problem = await other.post(approve)
        assert (status, problem["code"]) == (409, "prompts_missing")
        assert problem["prompts"] == ["script-2/greeting-head", "script-2/greeting-tail"]

        await _build_prompts(stack)
        _, case = await operator.post("/cases", new_case(LISTENS[0]))
        running = await _attempt(operator, case["id"], "answered")
        status, approved = await other.post(approve)
        assert (status, approved["approved_by"]) == (200, "adm2")
        assert approved["effective_at"] == max(script["effective_from"], approved["approved_at"])
        async with asyncio.timeout(60):
            # A moment passes: there is no event to wait for.
            while (await other.get("/call-scripts/current"))[1]["version"] != 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert datetime.now(UTC) >= datetime.fromisoformat(approved["effective_at"])

        # who is being called meanwhile hears the first greeting to its end, who is called next the second
        assert (await _attempt(operator, case["id"], "answered"))["id"] == running["id"]
        _, anew = await operator.post("/cases", new_case(ASKED_ANEW[0]))
        told = await _attempt(operator, anew["id"], "ended")
        kept = await _attempt(operator, case["id"], "ended")
        assert (kept["script_version"], kept["outcome"]) == (1, "agreed")
        assert (told["script_version"], told["outcome"]) == (2, "agreed")
        assert kept["dialed_at"] < approved["effective_at"] <= told["dialed_at"]
        assert await _purity(operator, supervisor, case["id"], kept["id"]) < 0.5
        assert await _purity(operator, supervisor, anew["id"], told["id"]) > 0.8

        _, script = await other.get(f"/call-scripts/{script['id']}")
        assert [(line["action"], line["by"]) for line in script["history"]] == [
            ("drafted", "adm1"),
            ("approved", "adm2"),
        ]
        assert script["notice_file"]["sha256"] == hashlib.sha256(scan).hexdigest()
        async with other.http.get(f"{other.base}/api/v1/call-scripts/{script['id']}/notice") as answer:
            assert answer.headers["X-Content-SHA256"] == script["notice_file"]["sha256"]
            assert await answer.read() == scan


def _second_script(scan: bytes) -> bytes:
    now = SystemClock().now()
    body = {
        "caller_id": "0519110",
        "greeting": "您好，这里是公安110，您是{plate}的车主吗？",
        "notice_number": "武公指〔2026〕12号",
        "notice_date": local(now).date().isoformat(),
        "effective_from": rfc3339(now + timedelta(seconds=10)),
        "notice_file": {
            "name": "通知.pdf",
            "media_type": "application/pdf",
            "content_base64": base64.b64encode(scan).decode(),
        },
    }
    return json.dumps(body).encode()


async def _build_prompts(stack: Stack) -> None:
    tone = f"sh -c 'sox -n $0 synth 1.5 sine {PITCH}' {{wav}} {{text}}"
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "prompts", "build", "--script", "2"),
        cwd=ROOT,
        env=os.environ | stack.environment | {"MOVECAR_TTS_COMMAND": tone},
        stderr=asyncio.subprocess.PIPE,
    )
    _, report = await run.communicate()
    assert run.returncode == 0, report.decode()


async def _attempt(client: Client, case_id: str, state: str) -> dict[str, Any]:
    """Return the only attempt of a case once it is in this state."""
    async with asyncio.timeout(40):
        while True:
            _, case = await client.get(f"/cases/{case_id}")
            if [attempt["state"] for attempt in case["attempts"]] == [state]:
                return dict(case["attempts"][0])
            await asyncio.sleep(0.05)


async def _purity(operator: Client, supervisor: Client, case_id: str, attempt_id: str) -> float:
    """Return the share, 0 to 1, that `PITCH` has in the first tenth of a second that the owner heard."""
    recording = await recording_of(operator, case_id, attempt_id)
    async with supervisor.http.get(f"{supervisor.base}/api/v1/recordings/{recording}/audio") as answer:
        with wave.open(io.BytesIO(await answer.read())) as sound:
            samples, rate = array.array("h", sound.readframes(sound.getnframes())), sound.getframerate()
    onset = next(at for at, sample in enumerate(samples) if abs(sample) > 1000)
    heard = samples[onset : onset + rate // 10]
    turn = cmath.exp(-2j * cmath.pi * PITCH / rate)
    along = sum((sample * turn**at for at, sample in enumerate(heard)), 0j)
    power = sum(sample * sample for sample in heard)
    return float(2 * abs(along) ** 2 / (len(heard) * power))
