"""Nobody learns a plate or a number from our logs, and nothing else is spoilt on the way."""

import json
import subprocess
import sys
import urllib.parse
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.logs import redact, redact_event

PHONES = [
    "13900000005",
    "+8613900000005",
    "008613900000005",
    "86 139-0000-0005",
    "+86 139 0000 0005",
    "013900000005",  # as some trunks want it
    "0519-81997327",
    "051981997327",
    "(0519) 8199 7327",
    "（0519）81997327",
    "010-88123456",
    "+86 519 81997327",
    "%2B8613900000005",  # in a URL
    "１３９０００００００５",  # typed with a Chinese keyboard
]
PLATES = [
    "苏D10001",
    "苏d10001",
    "苏D·10001",
    "苏D-10001",
    "苏 D 10001",
    "苏DA12345",
    "苏D12345D",
    "苏Ｄ１０００１",
    "苏D1234警",
    "苏D1234学",
    "苏D1234挂",
    "粤Z1234港",
    "粤Z1234澳",
    "沪A1234领",
    "沪12345领",
    "使014578",
    "使014·578",
    "014578使",
    "苏X1234应急",
    "应急苏123A",
    "WJ苏1234A",
    "VA12345",
    "军A12345",
    urllib.parse.quote("苏D10001"),  # in a URL
    json.dumps("苏D10001"),  # escaped JSON
    repr("苏D10001".encode()),  # bytes of a socket in an error
    "u82cf-d-1-0-0-0-1",  # as it is handed to the PBX to be spoken
]
NOT_PERSONAL = [
    "2026-04-01T08:00:00.123456Z",
    "2026-04-01T00:00:00.012345678Z",
    "2026-04-01 08:00:00",
    "1775000000.123456",  # seconds since 1970
    "1775000000123",  # milliseconds
    "0.0512345678",  # a duration
    "YC20260401000123",  # a case number
    "0519110",  # our own caller ID
    "PJSIP/trunk-00000001",
    "127.0.0.1:51981",
    "550e8400-e29b-41d4-a716-446655440000",
    "/api/v1/cases/{id}",
    "port=20000 pid=1390000",
    "使用 100 次",
    "京津冀 SQLSTATE 57P03",
]


@pytest.mark.parametrize("number", PHONES)
@pytest.mark.parametrize(
    "around", ["{}", "call {}, then", "PJSIP/{}@trunk", "tel:{}", r"Num: \r\n{}\r\n", "电话{}转"]
)
def test_a_number_keeps_only_its_last_two_digits(number: str, around: str) -> None:
    redacted = redact(around.format(number))
    assert redacted == around.format(f"[phone…{number[-2:]}]")


@pytest.mark.parametrize("plate", PLATES)
@pytest.mark.parametrize("around", ["{}", "plate={} found", "车牌{}已登记"])
def test_a_plate_keeps_at_most_its_last_places(plate: str, around: str) -> None:
    redacted = redact(around.format(plate))
    assert "[plate…" in redacted
    assert plate not in redacted
    assert "1000" not in redacted
    assert "234" not in redacted.replace("…234", "")


@pytest.mark.parametrize("text", NOT_PERSONAL)
def test_what_is_neither_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(st.uuids())
def test_identifiers_stay_as_they_are(identifier: uuid.UUID) -> None:
    assert redact(f"attempt {identifier.hex} ended") == f"attempt {identifier.hex} ended"


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_stay_as_they_are(moment: datetime) -> None:
    assert redact(moment.isoformat()) == moment.isoformat()


@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), st.text(max_size=20), st.text(max_size=20))
def test_no_mobile_number_gets_through_any_text(number: str, before: str, after: str) -> None:
    text = f"{before} {number} {after}"
    assert number not in redact(text)


class _Owner:
    def __repr__(self) -> str:
        return "Owner(苏D10001, 13900000005)"


@pytest.mark.parametrize(
    "value",
    [
        {"owner": {"phones": ["13900000005", {"苏D10001"}]}},
        {"13900000005": "number as a key", "苏D10001": 1},
        ["苏D10001", ("13900000005",)],
        b"CallerIDNum: 13900000005",
        "苏D10001".encode(),
        13900000005,
        _Owner(),
        ValueError("no such plate 苏D10001, call 13900000005"),
    ],
)
def test_no_value_of_any_shape_gets_through(value: Any) -> None:
    rendered = repr(redact_event(None, "info", {"event": "x", "value": value}))
    assert "1390000000" not in rendered
    assert "D1000" not in rendered


@pytest.mark.parametrize("value", [1, 0.25, True, None, 1775000000, 1775000000123, -7, [1, 2.5, None]])
def test_values_that_are_no_text_keep_their_type(value: Any) -> None:
    redacted = redact_event(None, "info", {"event": "x", "value": value})["value"]
    assert redacted == value
    assert type(redacted) is type(value)


_PROGRAM = """
import logging, sys
import structlog
from services.common.logs import configure_logs

configure_logs(sys.argv[1], "movecar")
log = structlog.get_logger("services.test")
log.info("call_placed", plate="苏D10001", phones=["13900000005"], attempt="550e8400e29b41d4a716446655440000")
try:
    try:
        raise KeyError("苏D10001")
    except KeyError as error:
        raise RuntimeError("owner of 苏D10001 is at 13900000005") from error
except RuntimeError:
    log.exception("lookup_failed")
    logging.getLogger("library").exception("gave up on %s", "苏D10001")
logging.getLogger("library").warning("dialling %s", "13900000005", extra={"plate": "苏D10001"})
logging.getLogger("library").info("odd arguments %s %s", {"phone": "13900000005"}, b"13900000005")
logging.getLogger("aiohttp.access").info("GET /api/v1/cases?plate=苏D10001")
"""


def _run(log_format: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, log_format],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert run.stdout == ""
    return run.stderr.splitlines()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_running_program_logs_neither_plates_nor_numbers(log_format: str) -> None:
    lines = _run(log_format)
    text = "\n".join(lines)
    assert "1390000000" not in text
    assert "D1000" not in text
    assert "/api/v1/cases" not in text  # query strings hold plates: access lines stay out altogether
    assert "550e8400e29b41d4a716446655440000" in text
    assert "Traceback" in text


def test_every_line_is_one_json_event_with_its_service_and_level() -> None:
    events = [json.loads(line) for line in _run("json")]
    assert [event["event"] for event in events] == [
        "call_placed",
        "lookup_failed",
        "gave up on [plate…01]",
        "dialling [phone…05]",
        "odd arguments {'phone': '[phone…05]'} b'[phone…05]'",
    ]
    assert {event["service"] for event in events} == {"movecar"}
    assert [event["level"] for event in events] == ["info", "error", "error", "warning", "info"]
    assert all(datetime.fromisoformat(event["timestamp"]).tzinfo for event in events)
    assert "RuntimeError: owner of [plate…01] is at [phone…05]" in events[1]["exception"]
    assert "RuntimeError" in events[2]["exception"]
