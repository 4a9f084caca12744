"""A request repeated under its key has one effect and one answer."""

import asyncio

import pytest
from sqlalchemy import select

from services.common.models import KeptAnswer
from tests.support.running import Client
from tests.unit.common.http.conftest import Running, Shop

KEY = {"Idempotency-Key": "3f2a-1"}


async def test_a_repeat_gets_the_same_answer_and_has_no_effect(operator: Client, shop: Shop) -> None:
    url = f"{operator.base}/api/v1/things"
    async with operator.http.post(url, json={"name": "一"}, headers=KEY) as first:
        answer = await first.read()
        assert "Idempotency-Replayed" not in first.headers
    async with operator.http.post(url, json={"name": "一"}, headers=KEY) as second:
        assert (second.status, await second.read()) == (201, answer)
        assert second.headers["Idempotency-Replayed"] == "true"
        assert second.content_type == "application/json"
    assert await shop.names() == ["一"]
    assert shop.calls == ["一"]


async def test_an_answer_without_a_body_is_repeated_too(operator: Client, shop: Shop) -> None:
    for _ in range(2):
        assert await operator.post("/clearance", headers=KEY) == (204, None)
    assert shop.calls == ["remove"]


async def test_a_key_used_for_another_request_is_refused(operator: Client, shop: Shop) -> None:
    await operator.post("/things", {"name": "一"}, headers=KEY)
    status, problem = await operator.post("/things", {"name": "二"}, headers=KEY)
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert problem["errors"][0]["field"] == "Idempotency-Key"
    status, problem = await operator.post("/clearance", headers=KEY)  # another path
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    assert await shop.names() == ["一"]


async def test_two_people_may_use_the_same_key(running: Running, operator: Client, shop: Shop) -> None:
    await operator.post("/things", {"name": "一"}, headers=KEY)
    async with running.client() as other:
        token = operator.http.headers["Authorization"].removeprefix("Bearer ")
        principal = running.process.kernel.tokens.read(token)
        assert principal is not None
        somebody_else = type(principal)("other", "op2", "另一人", "operator", "s2", principal.expires_at)
        issued = running.process.kernel.tokens.issue(somebody_else)
        other.http.headers["Authorization"] = f"Bearer {issued}"
        assert (await other.post("/things", {"name": "二"}, headers=KEY))[0] == 201
    assert await shop.names() == ["一", "二"]


async def test_requests_at_once_under_one_key_have_one_effect(operator: Client, shop: Shop) -> None:
    answers = await asyncio.gather(
        *(operator.post("/things", {"name": "一"}, headers=KEY) for _ in range(10))
    )
    assert [status for status, _ in answers] == [201] * 10
    assert len({answer["id"] for _, answer in answers}) == 1
    assert await shop.names() == ["一"]


@pytest.mark.parametrize(("name", "status"), [("冲突", 409), ("崩溃", 500)])
async def test_a_problem_is_not_kept_so_the_same_key_may_try_again(
    operator: Client, shop: Shop, name: str, status: int
) -> None:
    for _ in range(2):
        assert (await operator.post("/things", {"name": name}, headers=KEY))[0] == status
    assert shop.calls == [name, name]
    assert await shop.names() == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "钥匙", "a\tb"])
async def test_a_key_that_is_no_key_is_named(operator: Client, shop: Shop, key: str) -> None:
    headers = {"Idempotency-Key": key}
    status, problem = await operator.post("/things", {"name": "一"}, headers=headers)
    assert status == 422
    assert problem["errors"][0]["field"] == "Idempotency-Key"
    assert shop.calls == []


async def test_what_is_kept_is_sealed_and_tells_nothing(running: Running, operator: Client) -> None:
    await operator.post("/things", {"name": "苏D10001"}, headers=KEY)
    async with running.process.kernel.database.reading() as session:
        kept = await session.scalar(select(KeptAnswer))
    assert kept is not None
    assert b"D10001" not in kept.body
    # The digest is keyed: nobody can find the body by trying bodies.
    assert kept.request_digest == running.process.kernel.keys.index(
        "request", "POST /api/v1/things\n" + b'{"name": "\\u82cfD10001"}'.hex()
    )
