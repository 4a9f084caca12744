"""Filing and deciding on call scripts over HTTP (B3)."""

import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import SystemClock
from services.common.http.auth import Principal, Role
from services.common.http.times import rfc3339
from services.common.ids import new_id
from services.common.service import Process
from services.outbound.app import build
from tests.support.running import Client, serving, settings_for

PDF = b"%PDF-1.4\n" + b"x" * 300_000 + b"\n%%EOF\n"
GREETING = "您好，这里是公安110，您是{plate}的车主吗？"


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with serving(settings_for(tmp_path), [build]) as process:
        yield process


def person(process: Process, username: str, role: Role = "admin") -> Client:
    client = Client(process.address)
    principal = Principal(
        account_id=username,
        username=username,
        name=username,
        role=role,
        session_id=new_id(),
        expires_at=process.kernel.clock.now() + timedelta(hours=1),
    )
    client.http.headers["Authorization"] = f"Bearer {process.kernel.tokens.issue(principal)}"
    return client


def script(**changes: Any) -> dict[str, Any]:
    now = SystemClock().now()
    return {
        "caller_id": "0519110",
        "greeting": GREETING,
        "notice_number": "武公指〔2026〕12号",
        "notice_date": "2026-04-01",
        "effective_from": rfc3339(now + timedelta(hours=1)),
        "notice_file": scan(PDF),
    } | changes


def scan(content: bytes, media_type: str = "application/pdf", name: str = "通知.pdf") -> dict[str, str]:
    return {"name": name, "media_type": media_type, "content_base64": base64.b64encode(content).decode()}


async def test_a_draft_is_approved_by_another_person_and_takes_effect_at_its_time(process: Process) -> None:
    async with person(process, "adm1") as author, person(process, "adm2") as other:
        status, drafted = await author.post("/call-scripts", script())
        assert (status, drafted["version"], drafted["status"]) == (201, 2, "draft")
        status, problem = await author.post(f"/call-scripts/{drafted['id']}/approve")
        assert (status, problem["code"]) == (409, "same_person")
        status, approved = await other.post(f"/call-scripts/{drafted['id']}/approve")
        assert (status, approved["status"], approved["approved_by"]) == (200, "scheduled", "adm2")
        assert approved["effective_at"] == drafted["effective_from"]
        assert [line["action"] for line in approved["history"]] == ["drafted", "approved"]
        assert (await other.post(f"/call-scripts/{drafted['id']}/approve"))[0] == 200  # said again
        assert (await other.get("/call-scripts/current"))[1]["version"] == 1
        status, problem = await author.post(f"/call-scripts/{drafted['id']}/withdraw", {})
        assert (status, problem["code"]) == (409, "illegal_transition")
        _, page = await other.get("/call-scripts")
    assert [(item["version"], item["status"]) for item in page["items"]] == [
        (2, "scheduled"),
        (1, "in_force"),
    ]


async def test_an_approval_after_the_filed_time_takes_effect_at_once(process: Process) -> None:
    async with person(process, "adm1") as author, person(process, "adm2") as other:
        soon = rfc3339(SystemClock().now() + timedelta(seconds=1))
        _, drafted = await author.post("/call-scripts", script(effective_from=soon))
        while rfc3339(SystemClock().now()) <= soon:
            await SystemClock().sleep(0.05)
        _, approved = await other.post(f"/call-scripts/{drafted['id']}/approve")
        assert approved["effective_at"] == approved["approved_at"]
        while (await other.get("/call-scripts/current"))[1]["version"] != 2:
            await SystemClock().sleep(0.02)
        _, first = await other.get(f"/call-scripts/{1:032x}")
        assert first["status"] == "superseded"


async def test_a_draft_is_rejected_by_another_person_or_withdrawn_by_its_author(process: Process) -> None:
    async with person(process, "adm1") as author, person(process, "adm2") as other:
        _, first = await author.post("/call-scripts", script())
        _, second = await author.post("/call-scripts", script())
        assert (await author.post(f"/call-scripts/{first['id']}/reject", {}))[1]["code"] == "same_person"
        assert (await other.post(f"/call-scripts/{first['id']}/withdraw", {}))[1]["code"] == "not_the_author"
        _, rejected = await other.post(f"/call-scripts/{first['id']}/reject", {"note": "文号有误"})
        _, withdrawn = await author.post(f"/call-scripts/{second['id']}/withdraw", {"note": "重新扫描"})
        assert (rejected["status"], withdrawn["status"]) == ("rejected", "withdrawn")
        assert rejected["history"][-1]["detail"] == {"note": "文号有误"}
        status, problem = await other.post(f"/call-scripts/{first['id']}/approve")
        assert (status, problem["code"]) == (409, "illegal_transition")
        _, third = await author.post("/call-scripts", script())
        assert third["version"] == 4  # a number is never used again


# changes to a good draft, the field that is named
BAD: list[tuple[dict[str, Any], str]] = [
    ({"greeting": "您好，您是车主吗？"}, "greeting"),
    ({"greeting": "您好{plate}和{plate}车主"}, "greeting"),
    ({"caller_id": "0519-110"}, "caller_id"),
    ({"caller_id": "12"}, "caller_id"),
    ({"notice_number": ""}, "notice_number"),
    ({"notice_date": "2099-01-01"}, "notice_date"),
    ({"effective_from": "2020-01-01T00:00:00+08:00"}, "effective_from"),
    ({"effective_from": "9999-12-31T23:59:59+00:00"}, "effective_from"),
    ({"effective_from": "2026-12-01T00:00:00"}, "effective_from"),  # no zone
    ({"notice_file": scan(b"MZ" + PDF)}, "notice_file"),
    ({"notice_file": scan(PDF, "image/png")}, "notice_file"),  # not what it says
    ({"notice_file": scan(PDF[:-50])}, "notice_file"),  # cut off
    ({"notice_file": scan(PDF) | {"content_base64": "%%%"}}, "notice_file"),
    ({"notice_file": scan(PDF, name="../../etc/passwd")}, "notice_file.name"),
    ({"version": 7}, "version"),
]


@pytest.mark.parametrize(("changes", "field"), BAD)
async def test_what_cannot_be_filed_is_refused_by_the_name_of_its_field(
    process: Process, changes: dict[str, Any], field: str
) -> None:
    async with person(process, "adm1") as author:
        status, problem = await author.post("/call-scripts", script(**changes))
        assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])
        _, page = await author.get("/call-scripts")
        assert [item["version"] for item in page["items"]] in ([], [1])


async def test_a_file_beyond_the_limit_is_refused_unread(process: Process) -> None:
    async with person(process, "adm1") as author:
        body = io.BytesIO(json.dumps(script(notice_file=scan(PDF * 20))).encode())
        headers = {"Content-Type": "application/json"}
        async with author.http.post(
            f"{author.base}/api/v1/call-scripts", data=body, headers=headers
        ) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")


async def test_the_scan_comes_back_as_it_was_and_only_to_who_may_see_it(process: Process) -> None:
    async with person(process, "adm1") as author:
        _, drafted = await author.post("/call-scripts", script())
    path = f"/api/v1/call-scripts/{drafted['id']}/notice"
    assert drafted["notice_file"]["sha256"] == hashlib.sha256(PDF).hexdigest()
    async with (
        person(process, "aud1", "auditor") as auditor,
        auditor.http.get(f"http://{process.address}{path}") as answer,
    ):
        assert answer.content_type == "application/pdf"
        assert answer.headers["X-Content-SHA256"] == drafted["notice_file"]["sha256"]
        assert await answer.read() == PDF
    async with person(process, "sup1", "supervisor") as supervisor:
        assert (await supervisor.get(path.removeprefix("/api/v1")))[0] == 403
        assert (await supervisor.get("/call-scripts"))[0] == 200
        assert (await supervisor.post("/call-scripts", script()))[0] == 403
    async with person(process, "op1", "operator") as operator:
        assert (await operator.get("/call-scripts/current"))[0] == 403


async def test_a_number_that_the_switch_would_not_force_is_not_approved(process: Process) -> None:
    async with person(process, "adm1") as author, person(process, "adm2") as other:
        _, drafted = await author.post("/call-scripts", script(caller_id="0519114"))
        status, problem = await other.post(f"/call-scripts/{drafted['id']}/approve")
        assert (status, problem["code"]) == (409, "caller_id_not_provisioned")
        assert problem["provisioned"] == ["0519110"]
        assert (await other.get(f"/call-scripts/{drafted['id']}"))[1]["status"] == "draft"


async def test_unknown_scripts_are_not_found(process: Process) -> None:
    async with person(process, "adm1") as author:
        for given in (new_id(), "0", "..%2f", "%27"):
            assert (await author.get(f"/call-scripts/{given}"))[0] == 404
            assert (await author.post(f"/call-scripts/{given}/approve"))[0] == 404


async def test_without_audible_prompts_the_process_is_not_ready_and_nothing_is_approved(
    tmp_path: Path,
) -> None:
    (tmp_path / "sounds").mkdir()
    async with serving(settings_for(tmp_path, prompts_dir=tmp_path / "sounds"), [build]) as process:
        problems = await process.problems()
        assert "prompts" in problems
        async with person(process, "adm1") as author, person(process, "adm2") as other:
            _, drafted = await author.post("/call-scripts", script())
            status, problem = await other.post(f"/call-scripts/{drafted['id']}/approve")
        assert (status, problem["code"]) == (409, "prompts_missing")
        assert {"script-2/greeting-head", "menu", "c-1"} <= set(problem["prompts"])
        assert "--script 2" in problem["detail"]
