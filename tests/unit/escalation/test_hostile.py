"""Whatever a client sends, it gets a 4xx that names the field, and nothing changes."""

import io
import json
import sys
import unicodedata
from typing import Any

import pytest

from tests.unit.escalation.harness import Desk


def _controls() -> list[str]:
    """Every character that is none: looked for in all of Unicode, so not while tests are collected."""
    every = map(chr, range(sys.maxunicode + 1))
    return [one for one in every if unicodedata.category(one) in {"Cc", "Cf", "Zl", "Zp"}]


_ACK = ("ack", {"officer": "王警官"})
_DISPOSITION = ("disposition", {"code": "moved", "note": "已移走"})


@pytest.fixture
async def path(desk: Desk) -> str:
    escalation_id = await desk.escalate()
    await desk.item(1)
    return f"/escalations/{escalation_id}"


async def _refused(desk: Desk, path: str, body: Any, field: str) -> None:
    status, problem = await desk.call("POST", path, body)
    assert (status, problem["code"]) == (422, "invalid_request"), (body, problem)
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [(*_ACK, "officer"), (*_DISPOSITION, "note"), (*_DISPOSITION, "code")],
)
async def test_no_control_character_enters(
    desk: Desk, path: str, action: str, body: dict[str, str], field: str
) -> None:
    for character in _controls():
        for text in (f"a{character}b", f"{character}ab", f"ab{character}"):
            await _refused(desk, f"{path}/{action}", body | {field: text}, field)
    assert len((await desk.feed())["items"]) == 1


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        # unknown fields
        ("ack", {"officer": "王", "status": "disposed"}, "status"),
        ("ack", {"by": "adm1"}, "by"),
        ("disposition", {"code": "moved", "escalation_id": "x"}, "escalation_id"),
        # wrong types
        ("ack", {"officer": 1}, "officer"),
        ("ack", {"officer": ["王"]}, "officer"),
        ("ack", {"officer": {"name": "王"}}, "officer"),
        ("disposition", {"code": None}, "code"),
        ("disposition", {"code": True}, "code"),
        ("disposition", {"code": "moved", "note": None}, "note"),
        ("disposition", {"code": "moved", "note": 1.5}, "note"),
        # missing
        ("disposition", {"note": "无"}, "code"),
        # too long or too short
        ("ack", {"officer": ""}, "officer"),
        ("ack", {"officer": "王" * 201}, "officer"),
        ("disposition", {"code": "moved", "note": "长" * 1001}, "note"),
        ("disposition", {"code": "m" * 41}, "code"),
        # codes that are none
        ("disposition", {"code": "Moved"}, "code"),
        ("disposition", {"code": "moved "}, "code"),
        ("disposition", {"code": "移走"}, "code"),
        ("disposition", {"code": "1st"}, "code"),
        # what other systems read as an instruction
        ("ack", {"officer": "王${SHELL(id)}"}, "officer"),
        ("ack", {"officer": "王,李"}, "officer"),
        ("ack", {"officer": "王|李"}, "officer"),
        ("disposition", {"code": "moved", "note": "<script>"}, "note"),
        ("disposition", {"code": "moved", "note": 'a"b'}, "note"),
        ("disposition", {"code": "moved", "note": "a;b&c"}, "note"),
    ],
)
async def test_wrong_fields_are_named(
    desk: Desk, path: str, action: str, body: dict[str, Any], field: str
) -> None:
    await _refused(desk, f"{path}/{action}", body, field)
    assert len((await desk.feed())["items"]) == 1


@pytest.mark.parametrize(
    ("raw", "content_type", "expected"),
    [
        # a megabyte
        (json.dumps({"code": "moved", "note": "长" * 350_000}).encode(), "application/json", 413),
        # not JSON; half a surrogate pair; bytes that are no UTF-8
        (b"{", "application/json", 400),
        (b'{"officer": "\\ud800"}', "application/json", 400),
        (b'{"officer": "\xff"}', "application/json", 400),
        # JSON, but no object
        (b"[]", "application/json", 422),
        (b'"ack"', "application/json", 422),
        # another kind of document
        (b"officer=x", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_body_that_is_none_is_refused(
    desk: Desk, path: str, raw: bytes, content_type: str, expected: int
) -> None:
    for action in ("ack", "disposition"):
        async with desk.http.post(
            f"/api/v1{path}/{action}",
            data=io.BytesIO(raw),
            headers=desk.headers(more={"Content-Type": content_type}),
        ) as response:
            assert response.status == expected
            assert response.content_type == "application/problem+json"
    assert len((await desk.feed())["items"]) == 1


_WRONG_QUERIES = [
    ("/feed?after=-1", "after"),
    ("/feed?after=x", "after"),
    ("/feed?after=1.5", "after"),
    ("/feed?after=9223372036854775808", "after"),
    ("/feed?after=" + "9" * 5000, "after"),
    ("/feed?wait=61", "wait"),
    ("/feed?wait=-1", "wait"),
    ("/feed?wait=nan", "wait"),
    ("/feed?wait=inf", "wait"),
    ("/feed?limit=0", "limit"),
    ("/feed?limit=201", "limit"),
    ("/feed?after=0&after=1", "after"),
    ("/feed?since=0", "since"),
    ("/feed/stream?wait=1", "wait"),
    ("/escalations?status=closed", "status"),
    ("/escalations?limit=201", "limit"),
    # cursors nobody was given: no base64, no number, a number no row can have
    ("/escalations?cursor=%FF", "cursor"),
    ("/escalations?cursor=!!", "cursor"),
    ("/escalations?cursor=YWJj", "cursor"),
    ("/escalations?cursor=" + "OTk5" * 10, "cursor"),
    ("/escalations?cursor=" + "A" * 201, "cursor"),
]


async def test_wrong_queries_are_named(desk: Desk) -> None:
    for query, field in _WRONG_QUERIES:
        status, problem = await desk.call("GET", query)
        assert (status, [error["field"] for error in problem["errors"]]) == (422, [field]), query


async def test_a_last_event_id_that_was_never_given_out_is_refused(desk: Desk) -> None:
    for last_id in ("-1", "x", "1.5", "9" * 19, "٣"):
        status, problem = await desk.call("GET", "/feed/stream", headers={"Last-Event-ID": last_id})
        assert (status, problem["errors"][0]["field"]) == (422, "Last-Event-ID"), last_id
