"""The evidence over HTTP, beside a sandbox that writes call records: who may see it and what it shows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from deploy.stack.ports import free_port
from services.common.ami import Address, AmiLink
from services.common.http.auth import Principal, Role
from services.common.ids import new_id
from services.common.service import Process
from services.common.speech import speak
from services.outbound.calls import EVENT_NAMES
from services.outbound.evidence.models import BillableCall
from services.outbound.pbx import Call, Pbx
from tests.unit.outbound.rig import NUMBER, Told, requested, settings_for
from tests.unit.outbound.test_app import process_on, tell

DEADLINE = 60.0


@dataclass
class Office:
    """People of every role at the service's address."""

    process: Process
    client: aiohttp.ClientSession
    port: int

    async def ask(self, role: Role, method: str, path: str, **options: Any) -> tuple[int, Any]:
        kernel = self.process.kernel
        expires = kernel.clock.now() + timedelta(hours=1)
        token = kernel.tokens.issue(Principal(new_id(), f"{role}1", "某人", role, new_id(), expires))
        url = f"http://{self.process.address}/api/v1{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.client.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def until(self, path: str, found: Callable[[Any], bool], **params: str) -> Any:
        """Ask as supervisor until the answer is as wanted."""
        async with asyncio.timeout(DEADLINE):
            while True:
                status, body = await self.ask("supervisor", "GET", path, params=params)
                assert status == 200, body
                if found(body):
                    return body
                await asyncio.sleep(0.1)  # nobody tells when the evidence was compared

    def window(self) -> dict[str, str]:
        now = self.process.kernel.clock.now()
        since, until = now - timedelta(hours=1), now + timedelta(minutes=1)
        return {"from": since.isoformat(), "to": until.isoformat()}

    async def call(self, *digits: str) -> None:
        """Have owners called for cases, and wait until each call is over."""
        kernel = self.process.kernel
        told = Told(kernel.database)
        wanted = [requested(kernel.keys, [NUMBER + digit]) for digit in digits]
        await tell(kernel, *wanted)
        for event in wanted:
            await told.conclusion(event.contact_id)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    port = free_port()
    settings = settings_for(
        tmp_path, ami_port=port, ami_user="tester", ami_secret="for the test", reconcile_after=1
    )
    async with process_on(settings) as process, aiohttp.ClientSession() as client:
        yield Office(process, client, port)


async def test_calls_are_proved_and_a_hand_made_one_is_found_and_dealt_with(office: Office) -> None:
    await office.call("0", "6")
    report = await office.until(
        "/call-records/reconciliation",
        lambda body: body["attempts"] == body["placed"] == 4,
        **office.window(),
    )
    assert (report["placed"], report["with_attempt"], report["answered"]) == (
        4,
        4,
        1,
    )  # busy is redialled twice
    assert "call_without_attempt" not in report["mismatches"]

    by_hand = new_id()
    link = AmiLink(Address("127.0.0.1", office.port), "tester", "for the test", wanted=EVENT_NAMES)
    pbx = Pbx(link)
    up = asyncio.create_task(pbx.run())
    async with asyncio.timeout(DEADLINE):
        async for _ in pbx.stream():
            break
    await pbx.originate(
        Call(
            attempt_id=by_hand,
            callee=NUMBER + "6",
            caller_id="0519110",
            script=1,
            speak=speak("苏D10001"),
            ring_seconds=30,
        )
    )
    up.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await up

    query = {"kind": "call_without_attempt", "status": "open"}
    page = await office.until("/incidents", lambda body: len(body["items"]) == 1, **query)
    (incident,) = page["items"]
    assert (incident["subject"], incident["status"]) == (by_hand, "open")
    one = f"/incidents/{incident['id']}"
    assert await office.ask("auditor", "GET", one) == (200, incident)
    status, _ = await office.ask("auditor", "POST", f"{one}/close", json={"note": "试拨"})
    assert status == 403
    status, closed = await office.ask("supervisor", "POST", f"{one}/close", json={"note": "试拨"})
    assert (status, closed["status"], closed["closed_by"]) == (200, "closed", "supervisor1")
    assert closed["note"] == "试拨"
    status, problem = await office.ask("supervisor", "POST", f"{one}/close", json={"note": "又"})
    assert (status, problem["code"]) == (409, "incident_closed")
    status, records = await office.ask("auditor", "GET", "/call-records", params={"attempt": by_hand})
    assert status == 200
    assert [record["disposition"] for record in records["items"]] == ["BUSY"]


async def test_what_is_proved_may_be_billed(office: Office) -> None:
    await office.call("8")
    async with asyncio.timeout(DEADLINE):
        while True:
            async with office.process.kernel.database.reading() as session:
                bills = (await session.scalars(select(BillableCall))).all()
            if bills:
                break
            await asyncio.sleep(0.1)  # nobody tells when the evidence was compared
    assert [(bill.connected, bill.connection, bill.node) for bill in bills] == [
        (False, "not_answered", "main")
    ]


async def test_pages_follow_one_another_without_gap_or_repeat(office: Office) -> None:
    await office.call("6", "8")
    await office.until("/call-records", lambda body: len(body["items"]) == 4)
    seen: list[str] = []
    params = {"limit": "1"}
    while True:
        status, page = await office.ask("auditor", "GET", "/call-records", params=params)
        assert status == 200
        seen += [record["id"] for record in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert len(seen) == len(set(seen)) == 4


@pytest.mark.parametrize("role", ["operator", "desk", "admin"])
@pytest.mark.parametrize("path", ["/incidents", "/call-records"])
async def test_evidence_is_for_supervisors_and_auditors(office: Office, role: Role, path: str) -> None:
    status, problem = await office.ask(role, "GET", path)
    assert (status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/incidents", {"status": "lost"}, "status"),
        ("/incidents", {"kind": "a; b"}, "kind"),
        ("/incidents", {"cursor": "bm9uZQ"}, "cursor"),  # never given out
        ("/call-records", {"attempt": "x"}, "attempt"),
        ("/call-records", {"from": "2026-04-01T00:00:00"}, "from"),  # in which zone?
        ("/call-records", {"cursor": "MjAyNi0wNC0wMVQwMDowMDowMCswMDowMHx4"}, "cursor"),
        ("/call-records/reconciliation", {"from": "2026-04-01T00:00:00Z"}, "to"),
        (
            "/call-records/reconciliation",
            {"from": "2026-04-02T00:00:00Z", "to": "2026-04-01T00:00:00Z"},
            "to",
        ),
        (
            "/call-records/reconciliation",
            {"from": "2026-01-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"},
            "to",
        ),
    ],
)
async def test_a_wrong_question_is_told_by_its_field(
    office: Office, path: str, params: dict[str, str], field: str
) -> None:
    status, problem = await office.ask("auditor", "GET", path, params=params)
    assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])


@pytest.mark.parametrize("incident_id", ["x", "0" * 32])
async def test_an_incident_that_there_is_not_is_not_found(office: Office, incident_id: str) -> None:
    status, problem = await office.ask("auditor", "GET", f"/incidents/{incident_id}")
    assert (status, problem["code"]) == (404, "not_found")
