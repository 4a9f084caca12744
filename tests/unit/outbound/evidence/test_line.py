"""A line of the switch's call-record file: what is read is what was written, and nothing else is read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.evidence.line import CallRecord, UnreadableLine, read_line, write_line
from tests.unit.outbound.evidence.switch import NOON, call_record

# Written by Asterisk 22.10.
ANSWERED = (
    b'"0758f635c38c4fe6a0bb3e24c1129dc3","0758f635c38c4fe6a0bb3e24c1129dc3","PJSIP/trunk-0519110-00000000",'
    b'"1795331434.901180","1795331434.917517","1795331437.603278","2.702098","2.685761","ANSWERED","0"'
)
BUSY = (
    b'"8637183bd2c44e11863269ca1ad6ac6f","8637183bd2c44e11863269ca1ad6ac6f","PJSIP/trunk-0519110-00000003",'
    b'"1795331434.902025","0.000000","1795331434.911568","0.009543","0.000000","BUSY","3"'
)
LOCAL = (
    b'"1795331439.17","1795331439.16","other","1795331439.935331","0.000000","1795331439.935730",'
    b'"0.000399","0.000000","FAILED","9"'
)


def test_an_answered_calls_line_is_read_to_the_microsecond() -> None:
    record = read_line(ANSWERED)
    assert record.answered_at == datetime.fromtimestamp(1795331434, UTC) + timedelta(microseconds=917517)
    assert record.billed == pytest.approx(2.685761)
    assert (record.endpoint, record.disposition) == ("trunk-0519110", "ANSWERED")
    assert record.attempt_id == "0758f635c38c4fe6a0bb3e24c1129dc3"


def test_a_call_that_nobody_answered_has_no_answer_time() -> None:
    assert read_line(BUSY).answered_at is None


def test_a_channel_that_nobodys_attempt_made_says_so() -> None:
    record = read_line(LOCAL)
    assert record.attempt_id is None
    assert record.endpoint == ""


def test_a_seats_leg_belongs_to_the_attempt_that_it_is_linked_to() -> None:
    record = call_record(unique_id="1795331439.17", channel="PJSIP/seat-op1-0000000a", linked_id="a" * 32)
    assert record.attempt_id == "a" * 32
    assert record.endpoint == "seat-op1"


moments = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
lengths = st.timedeltas(timedelta(0), timedelta(hours=1))


@given(moments, lengths, st.none() | lengths, st.integers(0, 2**31))
def test_every_record_that_is_written_is_read_back(
    start: datetime, length: timedelta, until_answer: timedelta | None, sequence: int
) -> None:
    answered = None if until_answer is None else start + min(until_answer, length)
    record = call_record(
        started_at=start,
        answered_at=answered,
        ended_at=start + length,
        duration=length.total_seconds(),
        sequence=sequence,
    )
    assert read_line(write_line(record).removesuffix(b"\n")) == record


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"", "not_a_call_record"),  # an empty line
        (BUSY[:-20], "not_a_call_record"),  # half a line
        (BUSY + b',"0"', "not_a_call_record"),  # a column too many
        (BUSY + BUSY, "not_a_call_record"),  # a line whose end was lost
        (BUSY.replace(b"BUSY", b"RINGING"), "not_a_call_record"),  # a disposition that there is not
        (BUSY.replace(b"PJSIP/", b"SIP/13805190001@"), "not_a_call_record"),  # a channel that names a number
        (BUSY.replace(b'"3"', b'"-3"'), "not_a_call_record"),
        (BUSY.replace(b"0.009543", b"nan"), "not_a_call_record"),
        (
            BUSY.replace(b"1795331434.902025", b"1795331435.902025"),
            "times_out_of_order",
        ),  # began after its end
        (BUSY.replace(b"1795331434.902025", b"0.000000"), "times_out_of_order"),  # never began
        (ANSWERED.replace(b"1795331434.917517", b"1795331438.000000"), "times_out_of_order"),
        (BUSY.replace(b"1795331434.911568", b"99999999999.000000"), "times_out_of_order"),  # in 5138
        (BUSY.replace(b"BUSY", "忙".encode()), "not_ascii"),
        (b"\x00" * 300, "not_a_call_record"),  # what a machine that lost power leaves
    ],
)
def test_what_the_switch_does_not_write_is_unreadable(line: bytes, fault: str) -> None:
    with pytest.raises(UnreadableLine) as error:
        read_line(line)
    assert str(error.value) == fault


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(line: bytes) -> None:
    try:
        record = read_line(line)
    except UnreadableLine:
        return
    assert isinstance(record, CallRecord)


def test_a_line_names_no_number() -> None:
    line = write_line(replace(call_record(), started_at=NOON))
    assert line.count(b'"') == 20
    assert b"1380519" not in line
