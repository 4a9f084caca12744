"""Everything wrong is answered with a problem that names the field, before a handler sees it."""

import asyncio
import gzip
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.http.inputs import MAX_BODY_BYTES
from tests.support.running import Client
from tests.unit.common.http.conftest import Running, Shop

GOOD = {"name": "路口"}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "name", "必填"),
        ({"name": "路口", "colour": "red"}, "colour", "未知字段"),
        ({"name": 1}, "name", "应为文本"),
        ({"name": ["路口"]}, "name", "应为文本"),
        ({"name": None}, "name", "应为文本"),
        ({"name": ""}, "name", "不能为空"),
        ({"name": "　"}, "name", "不能为空"),
        ({"name": "x" * 201}, "name", "最多 200 个字符"),
        ({"name": "a;b"}, "name", "不能包含字符 U+003B，请改用中文标点"),
        (GOOD | {"count": "many"}, "count", "应为整数"),
        (GOOD | {"count": 1.5}, "count", "应为整数"),
        (GOOD | {"count": 0}, "count", "不能小于 1"),
        (GOOD | {"count": 11}, "count", "不能大于 10"),
        (GOOD | {"count": 10**400}, "count", None),  # more than any number type holds
        (GOOD | {"weight": "heavy"}, "weight", "应为数字"),
        (GOOD | {"urgent": "perhaps"}, "urgent", "应为 true 或 false"),
        (GOOD | {"urgent": {}}, "urgent", "应为 true 或 false"),
        (GOOD | {"size": "medium"}, "size", "应为其中之一：'small', 'large'"),
        (GOOD | {"kind": "c"}, "kind", "应为其中之一：'a', 'b'"),
        (GOOD | {"when": "tomorrow"}, "when", "应为 RFC 3339 时间，例如 2026-04-01T08:00:00+08:00"),
        (GOOD | {"when": []}, "when", "应为 RFC 3339 时间，例如 2026-04-01T08:00:00+08:00"),
        (GOOD | {"parts": {}}, "parts", "应为列表"),
        (GOOD | {"parts": [1]}, "parts.0", "应为 JSON 对象"),
        (GOOD | {"parts": [{"code": "ok"}, {"code": "NO"}]}, "parts.1.code", "格式不正确"),
        (GOOD | {"parts": [{"code": "ok", "x": 1}]}, "parts.0.x", "未知字段"),
        # A control character anywhere, in fields the model leaves open too.
        (GOOD | {"parts": [{"code": "ok", "note": "a\x00b"}]}, "parts.0.note", "不能包含控制字符 U+0000"),
        ([], "body", "应为 JSON 对象"),
        ("text", "body", "应为 JSON 对象"),
        (None, "body", "应为 JSON 对象"),
    ],
)
async def test_a_wrong_field_is_named_in_chinese(
    operator: Client, shop: Shop, body: Any, field: str, message: str | None
) -> None:
    status, problem = await operator.post(
        "/things", data=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    if status == 400:  # refused as JSON already
        assert problem["code"] == "invalid_json"
        assert message is None
        return
    assert status == 422, problem
    assert problem["code"] == "invalid_request"
    (error,) = problem["errors"]
    assert error["field"] == field
    if message is not None:
        assert error["message"] == message
    assert shop.calls == []


async def test_all_wrong_fields_are_named_at_once(operator: Client) -> None:
    status, problem = await operator.post("/things", {"count": 0, "kind": "c"})
    assert status == 422
    assert {error["field"] for error in problem["errors"]} == {"name", "count", "kind"}


async def test_a_body_of_unknown_fields_is_not_answered_with_a_book(operator: Client) -> None:
    status, problem = await operator.post("/things", GOOD | {f"x{number}": 1 for number in range(5000)})
    assert status == 422
    assert len(problem["errors"]) == 50


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"{'name': 'x'}", "application/json", 400, "invalid_json"),
        (b'{"name": "\xff"}', "application/json", 400, "invalid_json"),  # not UTF-8
        ('{"name": "路口"}'.encode("gbk"), "application/json", 400, "invalid_json"),
        (b'{"name": "\\ud800"}', "application/json", 400, "invalid_json"),  # half a character
        (b'{"name": "a", "weight": NaN}', "application/json", 400, "invalid_json"),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", 400, "invalid_json"),
        (b'{"name": ' + b'{"a":' * 900 + b"1" + b"}" * 901, "application/json", 422, "invalid_request"),
        (b'{"name": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"x" * (MAX_BODY_BYTES + 1), "application/json", 413, "body_too_large"),
        (b"x" * (4 * MAX_BODY_BYTES), "text/plain", 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_no_json_of_ours_is_refused(
    operator: Client, shop: Shop, raw: bytes, content_type: str, status: int, code: str
) -> None:
    answer, problem = await operator.post("/things", data=raw, headers={"Content-Type": content_type})
    assert (answer, problem["code"]) == (status, code)
    assert shop.calls == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0), 201),
        (gzip.compress(b" " * 10_000_000, mtime=0), 413),  # a bomb is as large as it unpacks
        (b"not gzip", 400),
        (gzip.compress(json.dumps(GOOD).encode(), mtime=0)[:-12], 400),
    ],
)
async def test_a_packed_body_is_unpacked_within_limits(operator: Client, raw: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer, _ = await operator.post("/things", data=raw, headers=headers)
    assert answer == status


async def test_a_body_of_exactly_the_limit_is_read(operator: Client) -> None:
    raw = json.dumps(GOOD).encode()
    status, _ = await operator.post(
        "/things", data=raw.ljust(MAX_BODY_BYTES), headers={"Content-Type": "application/json"}
    )
    assert status == 201


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("kind=c", "kind"),
        ("colour=red", "colour"),
        ("cursor=%00", "cursor"),
        ("cursor=%C2%85", "cursor"),
        ("cursor=%E2%80%A8", "cursor"),
        ("cursor=!", "cursor"),
        ("cursor=%FF%FE", "cursor"),
        ("cursor=路", "cursor"),
        ("cursor=" + "A" * 201, "cursor"),
        ("%0d%0aX=1", "query"),
    ],
)
async def test_a_wrong_query_parameter_is_named(operator: Client, query: str, field: str) -> None:
    status, problem = await operator.get(f"/things?{query}")
    assert status == 422, problem
    assert problem["errors"][0]["field"] == field


async def test_a_body_where_none_belongs_is_refused(operator: Client, shop: Shop) -> None:
    status, problem = await operator.post("/clearance", {"all": True})
    assert status == 422
    assert problem["errors"] == [{"field": "all", "message": "未知字段"}]
    assert shop.calls == []
    assert (await operator.post("/clearance"))[0] == 204


@pytest.mark.parametrize(
    "name",
    ["%00", "a%00b", "%0D%0AX:1", "%C2%85", "%E2%80%A8", "%1B%5B2J", "%FF", "%ED%A0%80", "..%2f..%2fx"],
)
async def test_an_id_that_cannot_be_is_not_found(running: Running, operator: Client, name: str) -> None:
    answer = await _raw(running, operator, f"GET /api/v1/things/{name} HTTP/1.1".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/v1/things?\xff=1 HTTP/1.1",
        b"GET /api/v1/things?limit=\xff HTTP/1.1",
        b"GET /api/v1/\xff\xfe HTTP/1.1",
        b"GET /api/v1/things/\xe8\xb7\xaf HTTP/1.1",
        b"GET /api/v1/things?%ZZ=1 HTTP/1.1",
        b"GET //// HTTP/1.1",
        b"GET http://other/api/v1/things?x HTTP/1.1",
        b"BREW /api/v1/things HTTP/1.1",
        b"GET /api/v1/things HTTP/9.9",
        b"\x00\x00\x00",
        b"GET /api/v1/things HTTP/1.1\r\nContent-Length: -1",
        b"POST /api/v1/things HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"GET /api/v1/things HTTP/1.1\r\nX: " + b"a" * 20_000,
        b"POST /api/v1/things HTTP/1.1\r\nIdempotency-Key: \xff",
        b"GET /api/v1/things HTTP/1.1\r\nCookie: movecar_session=\xff",
    ],
)
async def test_no_request_line_or_header_is_too_strange(
    running: Running, operator: Client, line: bytes
) -> None:
    answer = await _raw(running, operator, line)
    assert answer == b"" or re.match(rb"HTTP/1\.[01] [24]", answer), answer[:200]


async def test_nothing_but_the_path_that_exists(operator: Client) -> None:
    status, problem = await operator.get("/nothing")
    assert (status, problem["code"], problem["title"]) == (404, "not_found", "没有此路径")
    async with operator.http.delete(f"{operator.base}/api/v1/things") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD,POST"
        assert response.content_type == "application/problem+json"
        assert (await response.json())["code"] == "method_not_allowed"


async def test_problems_are_documents_and_carry_what_they_say(operator: Client, shop: Shop) -> None:
    async with operator.http.post(f"{operator.base}/api/v1/things", json={"name": "冲突"}) as response:
        assert response.status == 409
        assert response.content_type == "application/problem+json"
        assert await response.json() == {
            "type": "about:blank",
            "title": "现在不能这样做",
            "status": 409,
            "code": "illegal_transition",
            "current": "closed",
        }
    assert await shop.names() == []  # the insert before it was undone


async def test_a_defect_is_a_500_that_tells_nothing(operator: Client, shop: Shop) -> None:
    status, problem = await operator.post("/things", {"name": "崩溃"})
    assert (status, problem["code"]) == (500, "internal_error")
    assert "苏D10001" not in json.dumps(problem, ensure_ascii=False)
    assert problem["instance"].startswith("urn:uuid:")
    assert await shop.names() == []


async def test_times_are_answered_in_beijing_time(operator: Client) -> None:
    status, thing = await operator.post("/things", GOOD)
    assert status == 201
    assert thing["made_at"].endswith("+08:00")


async def test_every_answer_has_the_security_headers(operator: Client) -> None:
    for path in ("/things", "/nothing", "/openapi.json"):
        async with operator.http.get(f"{operator.base}/api/v1{path}") as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Cache-Control"] == "no-store"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
async def test_no_json_at_all_makes_a_5xx(operator: Client, body: Any) -> None:
    raw = json.dumps({"name": body, "parts": [{"code": "a", "note": body}]}).encode()
    status, _ = await operator.post("/things", data=raw, headers={"Content-Type": "application/json"})
    assert status < 500


async def _raw(running: Running, client: Client, line: bytes) -> bytes:
    host, _, port = running.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    token = client.http.headers["Authorization"]
    writer.write(line + f"\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n".encode())
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
