from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.http.auth import COOKIE, CSRF_HEADER
from services.common.service import Process
from services.movecar.app import build
from tests.support.running import PASSWORD, Client, serving, settings_for


@pytest.fixture
async def movecar(tmp_path: Path) -> AsyncIterator[Process]:
    async with serving(settings_for(tmp_path, demo_password=PASSWORD), [build]) as process:
        yield process


@pytest.fixture
async def visitor(movecar: Process) -> AsyncIterator[Client]:
    async with Client(movecar.address) as client:
        yield client


async def test_a_demo_account_logs_in_and_out(visitor: Client) -> None:
    status, body = await visitor.post("/sessions", {"username": "op1", "password": PASSWORD})
    assert status == 201
    assert body["user"]["role"] == "operator"
    assert body["expires_at"].endswith("+08:00")
    headers = {"Authorization": f"Bearer {body['token']}"}
    assert (await visitor.get("/cases", headers=headers))[0] == 200
    async with visitor.http.delete(f"{visitor.base}/api/v1/sessions/current", headers=headers) as answer:
        assert answer.status == 204
    status, problem = await visitor.get("/cases", headers=headers)
    assert (status, problem["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("op1", "wrong"),
        # Somebody who does not exist gets the same answer.
        ("nobody", PASSWORD),
    ],
)
async def test_wrong_credentials_get_one_answer(visitor: Client, username: str, password: str) -> None:
    status, problem = await visitor.post("/sessions", {"username": username, "password": password})
    assert (status, problem["code"]) == (401, "invalid_credentials")


async def test_a_browser_works_by_cookie_and_changes_nothing_without_its_csrf_token(visitor: Client) -> None:
    url = f"{visitor.base}/api/v1"
    async with visitor.http.post(f"{url}/sessions", json={"username": "op1", "password": PASSWORD}) as answer:
        cookie = answer.cookies[COOKIE]
        csrf = (await answer.json())["csrf_token"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    headers = {"Cookie": f"{COOKIE}={cookie.value}"}
    assert (await visitor.get("/sessions/current", headers=headers))[1]["csrf_token"] == csrf
    body = {"plate": "苏D10001", "location": "花园街", "requester_phone": "13912345678"}
    status, problem = await visitor.post("/cases", body, headers=headers)
    assert (status, problem["code"]) == (403, "csrf_failed")
    status, _ = await visitor.post("/cases", body, headers=headers | {CSRF_HEADER: csrf})
    assert status == 201
