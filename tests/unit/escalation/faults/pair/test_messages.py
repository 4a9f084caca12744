"""Whatever comes to the address of the other machine: taken only when it is its word, said now, and whole."""

from datetime import timedelta

import orjson
import pytest

from services.common.clock import ManualClock
from services.escalation.faults.pair.messages import MAX_RECORDS, Message, Refused, headers, read, write
from services.escalation.faults.pair.pair import Pair
from services.escalation.faults.records import Duty
from tests.unit.escalation.faults.pair.machines import SECRET

CLOCK = ManualClock()
NOW = CLOCK.now()


def message(**change: object) -> bytes:
    """A well-formed body with something changed."""
    duty = Duty("f-fault-desk", "f", "fault", "desk", NOW, NOW)
    pair = Pair("active", CLOCK)
    pair.owe([duty])
    return orjson.dumps(orjson.loads(write(pair.say())) | change)


def refused(
    body: bytes, *, secret: str = SECRET, age: float = 0.0, signature: str | None = None
) -> tuple[int, str]:
    given = headers(secret, body, NOW - timedelta(seconds=age))
    if signature is not None:
        given["X-Movecar-Signature"] = signature
    with pytest.raises(Refused) as refusal:
        read(SECRET, given, body, NOW)
    return refusal.value.status, refusal.value.code


def test_a_message_is_read_as_it_was_written() -> None:
    body = message()
    got = read(SECRET, headers(SECRET, body, NOW), body, NOW)
    assert isinstance(got, Message)
    assert got.records == (Duty("f-fault-desk", "f", "fault", "desk", NOW, NOW),)


def test_what_was_not_signed_by_the_other_machine_is_refused() -> None:
    body = message()
    assert refused(body, secret="another secret") == (401, "invalid_signature")
    signed = headers(SECRET, body, NOW)
    for wrong in ("", "sha256=", "sha256=" + "0" * 64, "签名"):
        assert refused(body, signature=wrong) == (401, "invalid_signature")
    with pytest.raises(Refused):
        read(SECRET, signed, body.replace(b"active", b"stanby"), NOW)
    with pytest.raises(Refused):
        read(SECRET, {}, body, NOW)


@pytest.mark.parametrize("age", [61.0, -61.5, 86_400.0])
def test_what_was_said_long_ago_or_by_another_clock_is_refused(age: float) -> None:
    assert refused(message(), age=age) == (401, "stale_message")


WRONG: dict[str, dict[str, object]] = {
    "an unknown field": {"more": 1},
    "an unknown role": {"role": "leader"},
    "a number below nothing": {"number": -1},
    "a life that is none": {"life": "../../etc"},
    "an unknown kind": {"records": [{"kind": "beat", "record": {}}]},
    "a record without its fields": {"records": [{"kind": "duty", "record": {"id": "x"}}]},
    "too many records": {"records": [{"kind": "duty", "record": {}}] * (MAX_RECORDS + 1)},
    "time that is none": {"steady": -1},
    "a reading that is none": {"readings": {"database": "splendid"}},
    "a mark beyond all bounds": {"mark": 1 << 60},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_refused_whole(case: str) -> None:
    assert refused(message(**WRONG[case])) == (422, "invalid_message")


def test_a_moment_without_a_zone_is_refused() -> None:
    body = message().replace(b'"since":"2026-04-01T00:00:00+00:00"', b'"since":"2026-04-01T00:00:00"')
    assert refused(body) == (422, "invalid_message")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b"{" * 5000])
def test_what_is_no_message_at_all_is_refused(body: bytes) -> None:
    assert refused(body) == (422, "invalid_message")


def test_a_message_counts_once() -> None:
    here, there = Pair("active", CLOCK), Pair("standby", CLOCK)
    first, second = here.say(), here.say()
    there.hear(second)
    for again in (second, first):
        with pytest.raises(Refused, match="已经收到") as refusal:
            there.hear(again)
        assert refusal.value.code == "replayed_message"
    # Nor after the process that said it was followed by another.
    later = Pair("active", CLOCK)
    there.hear(later.say())
    with pytest.raises(Refused, match="已经收到"):
        there.hear(here.say())


def test_an_answer_counts_for_its_question_alone() -> None:
    here, there = Pair("active", CLOCK), Pair("standby", CLOCK)
    question = here.say()
    answer = there.say(answers=question.name)
    other = here.say()
    for expected in (other.name, ""):
        with pytest.raises(Refused) as refusal:
            here.hear(answer, answers=expected)
        assert refusal.value.code == "other_answer"
    here.hear(answer, answers=question.name)


def test_a_machine_that_was_given_its_own_address_says_so() -> None:
    here = Pair("active", CLOCK)
    with pytest.raises(Refused) as refusal:
        here.hear(here.say())
    assert refusal.value.code == "own_message"
