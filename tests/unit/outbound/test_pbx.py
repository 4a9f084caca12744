import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.ami import Address, AmiLink, NotSent, Refused, Timing, Unknown, UnsafeValue
from services.outbound.calls import (
    EVENT_NAMES,
    Answered,
    CallEvent,
    Ended,
    HostileEvent,
    KeyPressed,
    OriginateFailed,
    Ringing,
)
from services.outbound.pbx import Call, Connected, Disconnected, Notice, Pbx
from tests.unit.common.ami.peer import DEADLINE, SECRET, USER, Connection, Peer

A = "0123456789abcdef0123456789abcdef"
B = "ffffffffffffffffffffffffffffffff"
CALL = Call(
    attempt_id=A, callee="13912345678", caller_id="0519110", script=1, speak="u82cf-d-1", ring_seconds=30
)


class Dialler:
    """A `Pbx` that is connected to a peer which plays Asterisk."""

    def __init__(self, peer: Peer) -> None:
        link = AmiLink(
            Address("127.0.0.1", peer.port),
            USER,
            SECRET,
            wanted=EVENT_NAMES,
            timing=Timing(ping_every=60, first_retry=0.01, last_retry=0.05),
        )
        self.pbx = Pbx(link)
        self._stream = self.pbx.stream()

    async def notice(self) -> Notice:
        async with asyncio.timeout(DEADLINE):
            return await anext(self._stream)

    async def events(self, count: int) -> list[CallEvent]:
        events: list[CallEvent] = []
        while len(events) < count:
            notice = await self.notice()
            assert isinstance(notice, tuple)
            events += notice
        return events


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture
async def dialler(peer: Peer) -> AsyncIterator[Dialler]:
    dialler = Dialler(peer)
    running = asyncio.create_task(dialler.pbx.run())
    yield dialler
    running.cancel()
    await asyncio.wait((running,))


@pytest.fixture
async def asterisk(peer: Peer, dialler: Dialler) -> Connection:
    connection = await peer.accept_login()
    assert await dialler.notice() == Connected()
    return connection


async def test_a_call_that_asterisk_takes_on_is_placed(dialler: Dialler, asterisk: Connection) -> None:
    placing = asyncio.create_task(dialler.pbx.originate(CALL))
    action = await asterisk.action()
    assert (action["ChannelId"], action["ActionID"]) == (A, A)
    await asterisk.answer(action, "Success", "Message: Originate successfully queued")
    await placing


async def test_a_call_ends_in_one_of_three_failures(
    peer: Peer, dialler: Dialler, asterisk: Connection
) -> None:
    placing = asyncio.create_task(dialler.pbx.originate(CALL))
    await asterisk.answer(await asterisk.action(), "Error", "Message: Extension does not exist.")
    with pytest.raises(Refused):
        await placing

    placing = asyncio.create_task(dialler.pbx.originate(CALL))
    await asterisk.action()
    asterisk.cut()
    with pytest.raises(Unknown):
        await placing

    with pytest.raises(NotSent):
        await dialler.pbx.originate(CALL)


async def test_an_unknown_call_is_never_sent_again(
    peer: Peer, dialler: Dialler, asterisk: Connection
) -> None:
    placing = asyncio.create_task(dialler.pbx.originate(CALL))
    await asterisk.action()
    asterisk.cut()
    with pytest.raises(Unknown):
        await placing
    asterisk = await peer.accept_login()
    assert isinstance(await dialler.notice(), Disconnected)
    assert await dialler.notice() == Connected()
    asking = asyncio.create_task(dialler.pbx.live_channels())
    action = await asterisk.action()
    assert action["Action"] == "CoreShowChannels"  # the first thing that is heard after the log-in
    await asterisk.answer(action, "Success", "EventList: start")
    await asterisk.event("CoreShowChannelsComplete", ActionID=action["ActionID"])
    await asking


def test_a_call_that_may_not_be_placed_cannot_be_made() -> None:
    with pytest.raises(UnsafeValue):
        Call(attempt_id=A, callee="110", caller_id="0519110", script=1, speak="u82cf-d-1", ring_seconds=30)
    assert "13912345678" not in repr(CALL)


async def test_only_attempts_are_listed_as_live(dialler: Dialler, asterisk: Connection) -> None:
    asking = asyncio.create_task(dialler.pbx.live_channels())
    action = await asterisk.action()
    await asterisk.answer(action, "Success", "EventList: start")
    for unique_id in (A, "1718000000.5", B.upper(), "", A + "\u2028"):
        await asterisk.event("CoreShowChannel", ActionID=action["ActionID"], Uniqueid=unique_id)
    await asterisk.event("CoreShowChannelsComplete", ActionID=action["ActionID"])
    assert await asking == {A}


async def answer_db_get(asterisk: Connection, key: str, value: str) -> None:
    action = await asterisk.action()
    assert (action["Action"], action["Family"], action["Key"]) == ("DBGet", "movecar", A)
    await asterisk.answer(action, "Success", "EventList: start")
    await asterisk.event("DBGetResponse", ActionID=action["ActionID"], Family="movecar", Key=key, Val=value)
    await asterisk.event("DBGetComplete", ActionID=action["ActionID"], EventList="Complete", ListItems="1")


async def test_what_the_dialplan_left_is_read(dialler: Dialler, asterisk: Connection) -> None:
    asking = asyncio.create_task(dialler.pbx.left_result(A))
    await answer_db_get(asterisk, A, "agreed;1775001600;1775001630")
    left = await asking
    assert left is not None
    assert left.outcome == "agreed"


async def test_nothing_left_is_not_an_error(dialler: Dialler, asterisk: Connection) -> None:
    asking = asyncio.create_task(dialler.pbx.left_result(A))
    await asterisk.answer(await asterisk.action(), "Error", "Message: Database entry not found")
    assert await asking is None


async def test_not_being_allowed_to_look_is_not_the_same_as_nothing_left(
    dialler: Dialler, asterisk: Connection
) -> None:
    asking = asyncio.create_task(dialler.pbx.left_result(A))
    await asterisk.answer(await asterisk.action(), "Error", "Message: Permission denied")
    with pytest.raises(Refused):
        await asking


@pytest.mark.parametrize(("key", "value"), [(B, "agreed;1;2"), (A, "agreed"), (A, "")])
async def test_a_strange_note_is_refused(
    key: str, value: str, dialler: Dialler, asterisk: Connection
) -> None:
    asking = asyncio.create_task(dialler.pbx.left_result(A))
    await answer_db_get(asterisk, key, value)
    with pytest.raises(HostileEvent):
        await asking


async def test_hanging_up_what_is_not_there_is_told(dialler: Dialler, asterisk: Connection) -> None:
    hanging_up = asyncio.create_task(dialler.pbx.hangup(A))
    await asterisk.answer(await asterisk.action(), "Error", "Message: No such channel")
    assert not await hanging_up


async def test_hostile_events_are_counted_and_left_out(dialler: Dialler, asterisk: Connection) -> None:
    await asterisk.event("UserEvent", UserEvent="MovecarKey", AttemptId="' OR 1=1", Key="1")
    await asterisk.event("UserEvent", UserEvent="MovecarKey", AttemptId=A, Key="1, 2")
    await asterisk.event("Hangup", Uniqueid=A, Cause="17\x85Cause: 16")
    await asterisk.event("UserEvent", UserEvent="MovecarKey", AttemptId=A, Key="1")
    assert await dialler.events(1) == [KeyPressed(A, "1")]
    assert dialler.pbx.ignored == {"AttemptId": 1, "Key": 1, "Cause": 1}


async def failed(asterisk: Connection, attempt_id: str, reason: str = "0") -> None:
    await asterisk.event("OriginateResponse", ActionID=attempt_id, Response="Failure", Reason=reason)


async def ended(asterisk: Connection, attempt_id: str, cause: str) -> None:
    await asterisk.event("Hangup", Uniqueid=attempt_id, Cause=cause)


async def test_a_failure_before_the_channels_end_is_not_told(dialler: Dialler, asterisk: Connection) -> None:
    await failed(asterisk, A)  # as Asterisk does for a busy owner
    await ended(asterisk, A, "17")
    assert await dialler.events(1) == [Ended(A, 17)]


async def test_a_failure_of_a_call_that_has_a_channel_is_not_told(
    dialler: Dialler, asterisk: Connection
) -> None:
    await asterisk.event("Newstate", Uniqueid=A, ChannelState="5")
    await failed(asterisk, A)
    await asterisk.event("Newstate", Uniqueid=B, ChannelState="6")
    assert await dialler.events(2) == [Ringing(A), Answered(B)]


async def test_a_failure_that_no_end_follows_is_told(
    dialler: Dialler, asterisk: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.outbound.pbx.HANGUP_SECONDS", 0.05)
    await failed(asterisk, A)
    await failed(asterisk, B, "3")
    assert await dialler.events(2) == [OriginateFailed(A, 0), OriginateFailed(B, 3)]


async def test_failures_are_not_told_once_the_connection_is_lost(
    peer: Peer, dialler: Dialler, asterisk: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.outbound.pbx.HANGUP_SECONDS", 0.2)
    await failed(asterisk, A)
    await asterisk.event("Newstate", Uniqueid=B, ChannelState="6")
    await dialler.events(1)
    asterisk.cut()
    assert isinstance(await dialler.notice(), Disconnected)
    asterisk = await peer.accept_login()
    assert await dialler.notice() == Connected()
    await failed(asterisk, B, "3")
    assert await dialler.events(1) == [OriginateFailed(B, 3)]
