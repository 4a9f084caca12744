import asyncio

import pytest

from services.common.ami import (
    Address,
    AmiLink,
    LinkDown,
    LinkUp,
    NotSent,
    Refused,
    Timing,
    Unknown,
    actions,
)
from services.common.ami.messages import MAX_MESSAGE
from services.common.ami.wire import Item, Lost, Wire
from tests.unit.common.ami.conftest import QUIET, WANTED, RunningLink, StartLink
from tests.unit.common.ami.peer import DEADLINE, SECRET, USER, Connection, Peer

A = "0123456789abcdef0123456789abcdef"


async def connected(peer: Peer, start_link: StartLink) -> tuple[RunningLink, Connection]:
    ours = start_link(peer.port)
    connection = await peer.accept_login()
    await ours.up()
    return ours, connection


async def test_an_action_without_a_connection_is_not_sent() -> None:
    link = AmiLink(Address("127.0.0.1", 1), USER, SECRET, wanted=WANTED, timing=QUIET)
    with pytest.raises(NotSent):
        await link.send(actions.ping())


async def test_a_starting_asterisk_is_waited_for_before_the_first_call(
    peer: Peer, start_link: StartLink
) -> None:
    """It accepts log-ins before its dialplan is loaded, and would refuse every call until then."""
    ours = start_link(peer.port)
    connection = await peer.accept()
    await connection.accept_login(booted=False)
    with pytest.raises(NotSent):
        await ours.link.send(actions.ping())
    assert not ours.link.connected
    await connection.event("FullyBooted", Status="Fully Booted")
    await ours.up()


async def test_an_error_is_a_refusal_with_asterisks_words(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    sent = asyncio.create_task(ours.link.send(actions.ping()))
    await connection.answer(await connection.action(), "Error", "Message: Permission denied")
    with pytest.raises(Refused) as refused:
        await sent
    assert refused.value.message == "Permission denied"


async def test_a_response_that_says_neither_yes_nor_no_is_unknown(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    sent = asyncio.create_task(ours.link.send(actions.ping()))
    await connection.answer(await connection.action(), "Follows")
    with pytest.raises(Unknown):
        await sent


async def test_no_answer_in_time_is_unknown_and_a_late_one_is_left_out(
    peer: Peer, start_link: StartLink
) -> None:
    ours, connection = await connected(peer, start_link)
    with pytest.raises(Unknown):
        await ours.link.send(actions.ping(), seconds=0.05)
    late = await connection.action()
    sent = asyncio.create_task(ours.link.send(actions.ping()))
    action = await connection.action()
    await connection.answer(late, "Error", "Message: late")
    await connection.answer(action)
    assert (await sent).response.status == "Success"


async def test_a_connection_that_is_lost_after_sending_leaves_the_action_unknown(
    peer: Peer, start_link: StartLink
) -> None:
    ours, connection = await connected(peer, start_link)
    sent = asyncio.create_task(ours.link.send(actions.ping()))
    await connection.action()
    connection.cut()
    with pytest.raises(Unknown):
        await sent
    assert not ours.link.connected
    with pytest.raises(NotSent):
        await ours.link.send(actions.ping())


async def test_answers_to_other_actions_are_nobodys(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    sent = asyncio.create_task(ours.link.send(actions.ping()))
    action = await connection.action()
    await connection.message("Response: Success", "ActionID: 0")
    await connection.message("Response: Success")
    await connection.answer(action, "Success", "Ping: Pong")
    assert (await sent).response.fields["Ping"] == "Pong"


async def test_two_answers_come_to_the_actions_they_belong_to(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    sent = [asyncio.create_task(ours.link.send(actions.ping())) for _ in range(2)]
    received = [await connection.action() for _ in range(2)]
    for action in reversed(received):
        await connection.answer(action, "Success", f"Echo: {action['ActionID']}")
    for reply in await asyncio.gather(*sent):
        assert reply.response.fields["Echo"] == reply.response.fields["ActionID"]


async def test_a_list_is_complete_only_with_its_last_event(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    sent = asyncio.create_task(ours.link.send(actions.core_show_channels()))
    action = await connection.action()
    mine = {"ActionID": action["ActionID"]}
    await connection.answer(action, "Success", "EventList: start")
    await connection.event("CoreShowChannel", **mine, Uniqueid="1")
    await connection.event("CoreShowChannel", ActionID="another", Uniqueid="2")
    await connection.event("Hangup", Uniqueid=A, Cause="16")  # events go on meanwhile
    await connection.event("CoreShowChannel", **mine, Uniqueid="3")
    await connection.event("CoreShowChannelsComplete", **mine, EventList="Complete", ListItems="2")
    assert [event.fields["Uniqueid"] for event in (await sent).events] == ["1", "3"]
    assert [event.name for event in await ours.events(1)] == ["Hangup"]


async def test_only_wanted_events_arrive_and_in_order(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    for number in range(500):
        await connection.event("RTCPSent", Uniqueid="x")
        await connection.event("Hangup", Uniqueid=str(number))
        await connection.event("hangup", Uniqueid="x")  # names are compared exactly
    assert [event.fields["Uniqueid"] for event in await ours.events(500)] == [str(n) for n in range(500)]


async def test_bytes_may_arrive_in_any_pieces(peer: Peer, start_link: StartLink) -> None:
    ours = start_link(peer.port)
    connection = await peer.accept()
    text = b"Asterisk Call Manager/11.0.0\r\n"
    for byte in text:
        await connection.write(bytes([byte]))
    action = await connection.action()
    await connection.answer(action, "Success", "Challenge: 1")
    await connection.answer(await connection.action())
    await connection.event("FullyBooted")
    await ours.up()
    text = "Event: UserEvent\r\nPlate: 苏D10001\r\n\r\n".encode()
    for byte in text:
        await connection.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await ours.events(1))[0].fields == {"Plate": "苏D10001"}


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"Event\r\n\r\n",
        b"Event:Hangup\r\n\r\n",  # no space: the library's parser raises
        b"Response\r\nActionID: 1\r\n\r\n",
        b"\xff\xfe\x00\r\n\r\n",
        b"Event: Hangup\r\n: \r\nx\r\n=\r\n\r\n",
        b"Event: Hangup\r\nChanVariable: novalue\r\nChanVariable: a=b\r\n\r\n",
        b"Response: Success\r\nOutput: a\r\nno colon here\r\n\r\n",
    ],
)
async def test_garbage_neither_ends_the_connection_nor_hides_what_follows(
    garbage: bytes, peer: Peer, start_link: StartLink
) -> None:
    ours, connection = await connected(peer, start_link)
    await connection.write(garbage)
    await connection.event("Newstate", Uniqueid=A)
    events = await ours.events(1)
    while events[-1].name != "Newstate":
        events += await ours.events(1)
    assert events[-1].fields == {"Uniqueid": A}


async def test_an_endless_message_ends_the_connection(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    await connection.write(b"Event: Hangup\r\nX: " + b"x" * (MAX_MESSAGE + 1))
    assert await ours.down() == "oversized_message"


async def test_a_peer_that_is_not_asterisk_is_left(peer: Peer, start_link: StartLink) -> None:
    ours = start_link(peer.port)
    for greeting in (b"SSH-2.0-OpenSSH_9.2\r\n", b"x" * 1000, b"\xff\r\n"):
        connection = await peer.accept()
        await connection.write(greeting)
        await connection.at_end()
    assert ours.link.reason == "not_asterisk"
    await peer.accept_login()
    await ours.up()


async def test_an_endless_list_ends_the_connection(peer: Peer, start_link: StartLink) -> None:
    ours, connection = await connected(peer, start_link)
    sent = asyncio.create_task(ours.link.send(actions.core_show_channels(), seconds=30))
    action = await connection.action()
    await connection.answer(action, "Success", "EventList: start")
    item = f"Event: CoreShowChannel\r\nActionID: {action['ActionID']}\r\n\r\n".encode()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(DEADLINE):
            while True:
                await connection.write(item * 1000)
    with pytest.raises(Unknown):
        await sent
    assert await ours.down() == "endless_list"


async def test_a_consumer_that_never_comes_costs_the_connection_and_not_the_memory(
    peer: Peer, start_link: StartLink
) -> None:
    ours = start_link(peer.port, max_backlog=100)
    connection = await peer.accept_login()
    for _ in range(101):
        await connection.event("Hangup", Uniqueid=A, Cause="16")
    again = await peer.accept_login()
    await ours.up()
    kept = 0
    while isinstance(notice := await ours.notice(), tuple):
        kept += len(notice)
    assert kept <= 100
    assert notice == LinkDown("consumer_too_slow")
    await ours.up()
    await again.event("Hangup", Uniqueid=A)
    assert len(await ours.events(1)) == 1


async def test_a_wrong_secret_is_named_and_tried_again(peer: Peer, start_link: StartLink) -> None:
    ours = start_link(peer.port)
    connection = await peer.accept()
    await connection.banner()
    await connection.answer(await connection.action(), "Success", "Challenge: 1")
    await connection.answer(await connection.action(), "Error", "Message: Authentication failed")
    await connection.at_end()
    assert ours.link.reason == "login_refused"
    await peer.accept_login()  # somebody has put the password right
    await ours.up()


async def test_a_challenge_that_would_inject_is_not_answered(peer: Peer, start_link: StartLink) -> None:
    ours = start_link(peer.port)
    connection = await peer.accept()
    await connection.banner()
    await connection.answer(await connection.action(), "Success", "Challenge: a b")
    await connection.at_end()
    assert ours.link.reason == "login_not_possible"


async def test_a_peer_that_stops_talking_before_the_log_in_is_left(peer: Peer, start_link: StartLink) -> None:
    ours = start_link(peer.port, timing=Timing(connect=0.05, first_retry=0.01, last_retry=0.02))
    await peer.accept()  # says nothing at all
    mute = await peer.accept()
    await mute.banner()
    connection = await peer.accept_login()
    await ours.up()
    await connection.event("Hangup", Uniqueid=A)
    assert len(await ours.events(1)) == 1


async def test_no_asterisk_is_retried_until_there_is_one(start_link: StartLink) -> None:
    async with Peer() as peer:
        port = peer.port
    ours = start_link(port)
    peer = Peer()
    peer.port = port
    for _ in range(1000):
        if ours.link.reason == "connection_refused":
            break
        await asyncio.sleep(0.005)
    assert ours.link.reason == "connection_refused"
    async with peer:
        await peer.accept_login()
        await ours.up()


async def test_stopping_says_goodbye_and_closes(peer: Peer) -> None:
    link = AmiLink(Address("127.0.0.1", peer.port), USER, SECRET, wanted=WANTED, timing=QUIET)
    running = asyncio.create_task(link.run())
    connection = await peer.accept_login()
    assert isinstance(await link.take(), LinkUp)
    running.cancel()
    await asyncio.wait((running,))
    assert (await connection.action())["Action"] == "Logoff"
    await connection.at_end()
    assert await link.take() == LinkDown("stopped")


async def test_nothing_arriving_is_told_after_the_time_asked_for(peer: Peer, start_link: StartLink) -> None:
    ours, _ = await connected(peer, start_link)
    assert await ours.link.take(0.01) is None


class OpenWire:
    """A wire by itself, to a peer that does not read."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[Lost] = self._loop.create_future()
        self.wire = Wire(Address("127.0.0.1", port), frozenset(), self._deliver, 5)
        self.wire.start()

    def _deliver(self, items: list[Item]) -> None:
        if isinstance(items[-1], Lost):
            self._loop.call_soon_threadsafe(self._lost.set_result, items[-1])

    async def lost(self) -> Lost:
        return await asyncio.wait_for(self._lost, DEADLINE)


async def stuck(peer: Peer) -> tuple[OpenWire, Connection]:
    """Make a wire that has sent a part of the message `begun` and cannot go on; `queued` waits behind it."""
    ours = OpenWire(peer.port)
    connection = await peer.accept()
    ours.wire.send("begun", b"x" * 100_000_000)
    ours.wire.send("queued", b"y")
    async with asyncio.timeout(DEADLINE):
        await connection.reader.readexactly(1)
    return ours, connection


async def test_a_message_that_is_partly_out_cannot_be_withdrawn_and_one_behind_it_can(peer: Peer) -> None:
    ours, _ = await stuck(peer)
    assert not ours.wire.withdraw("begun")
    assert ours.wire.withdraw("queued")
    assert not ours.wire.withdraw("queued")
    ours.wire.close("done")
    assert await ours.lost() == Lost("done", frozenset())


async def test_a_lost_connection_tells_which_messages_never_began(peer: Peer) -> None:
    ours, connection = await stuck(peer)
    connection.cut()
    lost = await ours.lost()
    assert lost.unsent == {"queued"}
    assert not ours.wire.send("late", b"z")


async def test_closing_does_not_wait_for_a_peer_that_does_not_read(peer: Peer) -> None:
    ours, _ = await stuck(peer)
    ours.wire.close("stopped")
    assert (await ours.lost()).reason == "stopped"
