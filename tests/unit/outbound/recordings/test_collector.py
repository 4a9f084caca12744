"""Every recording ends in the store, verified and told of; what is wrong with one is said (B8)."""

import fcntl
import hashlib
import os
from datetime import timedelta
from typing import Any

import pytest

from services.common.ids import new_id
from services.outbound.recordings.collector import MISSING_AFTER, Stalled
from services.outbound.recordings.keeper import SETTLING_SECONDS
from services.outbound.recordings.wav import write_header
from tests.unit.outbound.recordings.desk import Desk, write_wav


def later(desk: Desk, seconds: float) -> None:
    desk.clock.shift += timedelta(seconds=seconds)


def account(desk: Desk) -> None:
    """Let the collector account for absent recordings without waiting for its turn."""
    desk.collector = desk.new_collector()


async def test_a_finished_recording_is_stored_told_of_and_deleted_from_the_spool(desk: Desk) -> None:
    attempt = await desk.call(seconds=10)
    sound = desk.record(attempt, 9.5)
    assert await desk.collector.collect() == 1
    assert desk.left() == []
    assert await desk.plain(attempt) == sound
    (event,) = await desk.told()
    assert event.attempt_id == attempt
    assert (event.size, event.sha256) == (len(sound), hashlib.sha256(sound).hexdigest())
    assert (event.seconds, event.format, event.fault) == (9.5, "wav/pcm_s16le/8000/1", None)
    assert (event.operator, event.callee) == ("operator-1", desk.keys.index("phone", "13900000001"))
    row = (await desk.rows())[attempt]
    assert (row.state, row.sha256, row.path) == ("kept", event.sha256, event.path)
    assert await desk.incidents() == []
    assert await desk.collector.collect() == 0


async def test_no_plain_sound_is_left_on_the_disk(desk: Desk) -> None:
    attempt = await desk.call()
    sound = desk.record(attempt)
    await desk.collector.collect()
    for path in desk.home.rglob("*"):
        if path.is_file():
            assert sound[44:1000] not in path.read_bytes()


async def test_a_call_that_is_up_keeps_its_file(desk: Desk) -> None:
    attempt = await desk.call(state="answered", ended_at=None)
    desk.record(attempt)
    assert await desk.collector.collect() == 0
    assert desk.left() == [f"{attempt}.wav"]


async def test_a_file_that_is_not_finished_is_waited_for(desk: Desk) -> None:
    attempt = await desk.call(seconds=1.2)
    path = desk.spool / f"{attempt}.wav"
    path.write_bytes(write_header(8000, 0) + b"\x01\x02" * 8000)  # as Asterisk has it until it closes it
    assert await desk.collector.collect() == 0
    path.write_bytes(write_header(8000, 16_000) + b"\x01\x02" * 8000)
    assert await desk.collector.collect() == 1
    assert await desk.states() == {attempt: ("kept", None)}


WRONG = [
    # what Asterisk leaves, how long the call was, the fault
    (b"", 10, "empty"),
    (write_header(8000, 0), 10, "empty"),  # nothing was heard in ten seconds
    (write_header(8000, 0) + b"\x01\x02" * 8000, 10, "length"),  # Asterisk died while it recorded
    (write_header(8000, 32_000) + b"\x01\x02" * 8000, 10, "length"),  # cut off
    (write_header(8000, 16_000)[:30], 10, "no_wav"),
    (b"OggS" + bytes(5000), 10, "no_wav"),
    (write_header(44_100, 16_000) + b"\x01\x02" * 8000, 10, "format"),
    (write_header(8000, 800_000) + b"\x01\x02" * 400_000, 10, "too_long"),  # 50 s of a 10 s call
    (write_header(8000, 64_000) + b"\x01\x02" * 32_000, 30, "too_short"),  # 4 s of 30
]


@pytest.mark.parametrize(("content", "seconds", "fault"), WRONG)
async def test_a_damaged_recording_is_kept_and_a_person_is_told(
    desk: Desk, content: bytes, seconds: float, fault: str
) -> None:
    attempt = await desk.call(seconds=seconds)
    (desk.spool / f"{attempt}.wav").write_bytes(content)
    later(desk, SETTLING_SECONDS + 1)
    assert await desk.collector.collect() == 1
    assert await desk.states() == {attempt: ("damaged", fault)}
    assert await desk.plain(attempt) == content
    assert await desk.incidents() == [("recording_damaged", attempt)]
    assert [event.fault for event in await desk.told()] == [fault]
    assert desk.left() == []


async def test_an_owner_who_hung_up_before_anything_was_said_leaves_nothing_to_keep(desk: Desk) -> None:
    attempt = await desk.call(seconds=0.4, outcome="hung_up")
    (desk.spool / f"{attempt}.wav").write_bytes(write_header(8000, 0))
    later(desk, 10)
    assert await desk.collector.collect() == 1
    assert await desk.states() == {attempt: ("none", None)}
    assert (await desk.incidents(), await desk.told(), desk.left()) == ([], [], [])


async def test_a_recording_of_a_call_whose_answer_was_missed_is_kept(desk: Desk) -> None:
    attempt = await desk.call(outcome="unknown", answered_at=None, greeting_started_at=None)
    desk.record(attempt, 8)
    await desk.collector.collect()
    (event,) = await desk.told()
    assert event.ended_at - event.started_at == timedelta(seconds=8)


async def test_how_long_a_lost_call_lasted_is_not_known_and_not_held_against_its_recording(
    desk: Desk,
) -> None:
    attempt = await desk.call(seconds=160, outcome="unknown")
    desk.record(attempt, 8)
    await desk.collector.collect()
    assert await desk.states() == {attempt: ("kept", None)}


ABSENT = [
    # outcome, whether the greeting was heard to begin, what becomes of it
    ("agreed", True, "missing"),
    ("agreed", False, "missing"),  # the key says that it was spoken to
    ("hung_up", True, "missing"),
    ("hung_up", False, "none"),  # gone before the dialplan's first step
    ("failed", False, "none"),  # crowded out before it was recorded
    ("unknown", False, "none"),
]


@pytest.mark.parametrize(("outcome", "greeted", "state"), ABSENT)
async def test_what_does_not_come_is_missed(desk: Desk, outcome: str, greeted: bool, state: str) -> None:
    fields: dict[str, Any] = {} if greeted else {"greeting_started_at": None}
    attempt = await desk.call(outcome=outcome, **fields)
    await desk.collector.collect()
    assert await desk.states() == {}
    later(desk, MISSING_AFTER.total_seconds())
    account(desk)
    await desk.collector.collect()
    assert await desk.states() == {attempt: (state, None)}
    assert await desk.incidents() == ([("recording_missing", attempt)] if state == "missing" else [])


async def test_a_missing_recording_that_turns_up_is_kept_and_the_incident_closed(desk: Desk) -> None:
    attempt = await desk.call(ago=60)
    await desk.collector.collect()
    assert await desk.incidents() == [("recording_missing", attempt)]
    desk.record(attempt)
    await desk.collector.collect()
    assert await desk.states() == {attempt: ("kept", None)}
    assert await desk.incidents() == []
    assert await desk.incidents(closed=True) == [("recording_missing", attempt)]
    assert len(await desk.told()) == 1


async def test_a_recording_in_the_spool_is_not_missing_however_late_it_is(desk: Desk) -> None:
    attempt = await desk.call(ago=60)
    (desk.spool / f"{attempt}.wav").write_bytes(write_header(8000, 0) + b"\x01\x02" * 8000)
    await desk.collector.collect()
    assert (await desk.states(), await desk.incidents()) == ({}, [])


async def test_unanswered_calls_leave_nothing_and_nothing_is_missed(desk: Desk) -> None:
    await desk.call(ago=600, outcome="busy", answered_at=None, greeting_started_at=None)
    await desk.collector.collect()
    assert (await desk.states(), await desk.incidents()) == ({}, [])


async def test_foreign_files_are_left_alone_and_a_person_is_told_until_they_are_gone(desk: Desk) -> None:
    secret = desk.home / "secret"
    secret.write_text("not for anyone")
    ended = [await desk.call() for _ in range(4)]
    (desk.spool / "13900000001.wav").write_bytes(b"x")  # a name that may be a telephone number
    (desk.spool / f"{new_id()}.wav").write_bytes(b"x")  # no attempt of ours
    (desk.spool / f"{ended[0]}.wav").symlink_to(secret)
    (desk.spool / f"{ended[1]}.wav").mkdir()
    os.mkfifo(desk.spool / f"{ended[2]}.wav")
    write_wav(desk.spool / "other", 5)
    os.link(desk.spool / "other", desk.spool / f"{ended[3]}.wav")
    before = desk.left()
    await desk.collector.collect()
    await desk.collector.collect()
    assert desk.left() == before
    assert secret.read_text() == "not for anyone"
    found = await desk.incidents()
    assert [kind for kind, _ in found] == ["recording_foreign"] * 7
    assert not any("139" in subject and "0000" in subject for _, subject in found)
    assert await desk.rows() == {}
    for path in desk.spool.iterdir():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    await desk.new_collector().collect()  # also after a restart
    assert not [kind for kind, _ in await desk.incidents() if kind == "recording_foreign"]


async def test_a_spool_full_of_strangers_opens_a_bounded_number_of_incidents(desk: Desk) -> None:
    for number in range(80):
        (desk.spool / f"stranger-{number}").touch()
    attempt = await desk.call()
    desk.record(attempt)
    await desk.collector.collect()
    await desk.collector.collect()
    assert len(await desk.incidents()) == 50
    assert await desk.states() == {attempt: ("kept", None)}


async def test_another_sound_under_a_kept_recordings_name_replaces_nothing(desk: Desk) -> None:
    attempt = await desk.call()
    sound = desk.record(attempt)
    await desk.collector.collect()
    desk.record(attempt, level=77)
    await desk.collector.collect()
    assert await desk.plain(attempt) == sound
    assert [kind for kind, _ in await desk.incidents()] == ["recording_foreign"]
    assert desk.left() == [f"{attempt}.wav"]


async def test_a_file_that_another_process_has_is_left_to_it(desk: Desk) -> None:
    attempt = await desk.call()
    desk.record(attempt)
    with (desk.spool / f"{attempt}.wav").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert await desk.collector.collect() == 0
    assert await desk.collector.collect() == 1


async def test_a_spool_that_cannot_be_read_is_an_incident_until_it_can(desk: Desk) -> None:
    away = desk.home / "away"
    desk.spool.rename(away)
    with pytest.raises(Stalled, match="No such file"):
        await desk.collector.collect()
    assert await desk.incidents() == [("recordings_stalled", desk.collector.place)]
    away.rename(desk.spool)
    attempt = await desk.call()
    desk.record(attempt)
    await desk.new_collector().collect()  # also after a restart
    assert await desk.incidents() == []
    assert await desk.states() == {attempt: ("kept", None)}


async def test_a_store_that_lost_a_recording_gets_it_again_while_the_spool_has_it(desk: Desk) -> None:
    attempt = await desk.call()
    sound = desk.record(attempt)
    await desk.collector.collect()
    row = (await desk.rows())[attempt]
    (desk.store / str(row.path)).write_bytes(b"ruined")
    (desk.spool / f"{attempt}.wav").write_bytes(sound)
    await desk.collector.collect()
    assert await desk.plain(attempt) == sound
    assert (len(await desk.told()), desk.left()) == (1, [])
