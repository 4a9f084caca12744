import asyncio
import hashlib
from collections.abc import AsyncIterator

import asterisk.ami
import pytest

from services.common.ami import Address, AmiLink, Timing
from services.common.clock import ManualClock, SystemClock
from services.outbound.calls import Answered, GreetingStarted
from services.outbound.pbx import Connected, Disconnected, Pbx
from services.outbound.sandbox import SandboxPbx
from services.outbound.sandbox import server as sandbox_server
from tests.contract.telephony import WANTED, Line
from tests.unit.outbound.sandbox.client import DEADLINE, Client
from tests.unit.outbound.sandbox.conftest import SECRET, USER

A = "0123456789abcdef0123456789abcdef"


def originate(callee: str = "13900000001", **changes: str) -> dict[str, str]:
    return {
        "Action": "Originate",
        "ActionID": A,
        "Channel": f"PJSIP/{callee}@trunk-0519110",
        "Context": "movecar-notice",
        "Exten": "s",
        "Priority": "1",
        "CallerID": '"0519110" <0519110>',
        "Timeout": "30000",
        "Async": "true",
        "ChannelId": A,
        "Variable": f"MOVECAR_ATTEMPT={A},MOVECAR_SPEAK=u82cf-d-1,MOVECAR_SCRIPT=1",
        **changes,
    }


@pytest.fixture
async def client(sandbox: SandboxPbx) -> AsyncIterator[Client]:
    async with Client(sandbox.port) as client:
        answer = await client.ask(Action="Login", Username=USER, Secret=SECRET)
        assert answer["Response"] == "Success"
        await client.until("FullyBooted")
        yield client


async def test_the_bare_library_places_a_call_on_the_sandbox(sandbox: SandboxPbx) -> None:
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[asterisk.ami.Event] = asyncio.Queue()
    answers: asyncio.Queue[asterisk.ami.Response] = asyncio.Queue()
    bare = asterisk.ami.AMIClient("127.0.0.1", sandbox.port, timeout=DEADLINE)
    bare.add_event_listener(on_event=lambda event, **_: loop.call_soon_threadsafe(events.put_nowait, event))
    bare.add_listener(
        on_response=lambda response, **_: loop.call_soon_threadsafe(answers.put_nowait, response)
    )

    async def ask(action: asterisk.ami.Action) -> str:
        # Not `send_action`: the library's own way of waiting uses a method that Python has deprecated.
        bare.send(action)
        status: str = (await asyncio.wait_for(answers.get(), DEADLINE)).status
        return status

    await asyncio.to_thread(bare.connect)
    assert await ask(asterisk.ami.LoginAction(USER, SECRET)) == "Success"
    fields = originate()
    assert await ask(asterisk.ami.Action(fields.pop("Action"), fields)) == "Success"
    assert (await asyncio.wait_for(events.get(), DEADLINE)).name == "FullyBooted"
    seen = [await asyncio.wait_for(events.get(), DEADLINE)]
    while seen[-1].name != "Hangup":
        seen.append(await asyncio.wait_for(events.get(), DEADLINE))
    assert {event["Uniqueid"] for event in seen} == {A}
    assert await ask(asterisk.ami.LogoffAction()) == "Goodbye"
    await asyncio.to_thread(bare._thread.join, DEADLINE)
    bare._socket.close()  # the library leaves it open


async def test_an_answered_call_has_asterisks_events_in_asterisks_order(client: Client) -> None:
    assert (await client.ask(**originate()))["Message"] == "Originate successfully queued"
    events = await client.until("Hangup")
    assert [
        (
            event["Event"],
            event.get("ChannelStateDesc"),
            event.get("UserEvent"),
            event.get("Phase") or event.get("Key"),
        )
        for event in events
    ] == [
        ("Newchannel", "Down", None, None),
        ("Newstate", "Ringing", None, None),
        ("Newstate", "Up", None, None),
        ("OriginateResponse", None, None, None),
        ("UserEvent", "Up", "MovecarGreeting", "start"),
        ("UserEvent", "Up", "MovecarGreeting", "end"),
        ("UserEvent", "Up", "MovecarKey", "1"),
        ("Hangup", "Up", None, None),
    ]
    assert events[3]["ActionID"] == A
    assert (events[3]["Response"], events[3]["Reason"]) == ("Success", "4")
    assert (events[-1]["Cause"], events[-1]["Cause-txt"]) == ("16", "Normal Clearing")
    assert {event["Uniqueid"] for event in events} == {A}
    assert {event["CallerIDNum"] for event in events} == {"0519110"}


@pytest.mark.parametrize(
    ("digit", "reason", "cause", "status"),
    [("6", "0", "17", "486"), ("7", "3", "19", "480"), ("8", "0", "21", "603")],
)
async def test_an_unanswered_call_fails_before_its_channel_ends_as_on_asterisk(
    digit: str, reason: str, cause: str, status: str, client: Client
) -> None:
    await client.ask(**originate(f"1390000000{digit}"))
    *_, response, hangup = await client.until("Hangup")
    assert (response["Event"], response["Response"], response["Reason"]) == (
        "OriginateResponse",
        "Failure",
        reason,
    )
    assert (hangup["Cause"], hangup["TechCause"]) == (cause, status)


async def test_owners_take_their_time_divided_by_the_speed() -> None:
    clock = ManualClock()
    async with SandboxPbx(USER, SECRET, clock, speed=10) as sandbox, Client(sandbox.port) as client:
        await client.ask(Action="Login", Username=USER, Secret=SECRET)
        await client.ask(**originate("13900000007", Timeout="30000"))
        assert (await client.receive())["Event"] == "Newchannel"
        await clock.advance(0.1)
        assert (await client.receive())["ChannelStateDesc"] == "Ringing"
        await clock.advance(2.8)  # 29 s of ringing at ten times the speed
        assert (await client.ask(Action="Ping"))["Ping"] == "Pong"  # and nothing before it
        await clock.advance(0.2)
        assert (await client.until("Hangup"))[-1]["Cause"] == "19"


async def test_a_short_ring_time_ends_before_a_slow_owner_answers(client: Client) -> None:
    await client.ask(**originate("13900000001", Timeout="3000"))
    assert (await client.until("Hangup"))[-1]["Cause"] == "19"


async def test_a_call_goes_on_while_its_client_is_away_and_is_told_afterwards(sandbox: SandboxPbx) -> None:
    line = Line(
        Pbx(
            AmiLink(
                Address("127.0.0.1", sandbox.port),
                USER,
                SECRET,
                wanted=WANTED,
                timing=Timing(first_retry=0.01, last_retry=0.05),
            )
        ),
        ring_seconds=30,
        deadline=DEADLINE,
    )
    running = asyncio.create_task(line.pbx.run())
    stream = line.pbx.stream()
    assert await anext(stream) == Connected()
    call = line.call("5")
    await line.pbx.originate(call)
    while GreetingStarted(call.attempt_id) not in (heard := await anext(stream)):  # type: ignore[operator]
        assert isinstance(heard, tuple)
    running.cancel()
    await asyncio.wait((running,))
    assert isinstance(await anext(stream), Disconnected)

    async with Client(sandbox.port) as other:
        await other.ask(Action="Login", Username=USER, Secret=SECRET)
        await other.until("Hangup")

    running = asyncio.create_task(line.pbx.run())
    assert await anext(stream) == Connected()
    assert await line.pbx.live_channels() == set()
    left = await line.pbx.left_result(call.attempt_id)
    assert left is not None
    assert left.outcome == "disputed"
    running.cancel()
    await asyncio.wait((running,))


async def test_hanging_up_an_answered_call_leaves_it_as_hung_up(line: Line) -> None:
    call = line.call("1")
    await line.pbx.originate(call)
    await line.until(call.attempt_id, lambda seen: Answered(call.attempt_id) in seen.events)
    assert await line.pbx.hangup(call.attempt_id)
    assert (await line.ended(call.attempt_id)).outcome == "hung_up"
    left = await line.pbx.left_result(call.attempt_id)
    assert left is not None
    assert left.outcome == "hung_up"


async def test_a_call_can_be_hung_up_in_the_same_breath(client: Client) -> None:
    client.send(**originate())
    client.send(Action="Hangup", Channel=A, Cause="16")
    assert (await client.until("Hangup"))[-1]["ChannelStateDesc"] == "Down"


async def test_log_in_by_challenge(sandbox: SandboxPbx) -> None:
    async with Client(sandbox.port) as client:
        assert client.banner.startswith("Asterisk Call Manager/")
        challenge = (await client.ask(Action="Challenge", AuthType="MD5"))["Challenge"]
        key = hashlib.md5((challenge + SECRET).encode(), usedforsecurity=False).hexdigest()
        answer = await client.ask(Action="Login", AuthType="MD5", Username=USER, Key=key)
        assert answer["Message"] == "Authentication accepted"


@pytest.mark.parametrize(
    "login",
    [
        {"Username": USER, "Secret": "wrong"},
        {"Username": "admin", "Secret": SECRET},
        {"Username": USER},
        {},
        {"Username": USER, "AuthType": "MD5", "Key": ""},  # without having asked for a challenge
        {"Username": USER, "AuthType": "MD5", "Key": hashlib.md5(SECRET.encode()).hexdigest()},  # noqa: S324
    ],
)
async def test_wrong_credentials_end_the_connection(login: dict[str, str], sandbox: SandboxPbx) -> None:
    async with Client(sandbox.port) as client:
        assert (await client.ask(Action="Login", **login))["Message"] == "Authentication failed"
        await client.at_end()


async def test_nothing_is_done_or_told_before_the_log_in(sandbox: SandboxPbx, client: Client) -> None:
    async with Client(sandbox.port) as stranger:
        assert (await stranger.ask(**originate()))["Message"] == "Permission denied"
        await client.ask(**originate("13900000006"))
        await client.until("Hangup")
        assert (await stranger.ask(Action="Ping"))[
            "Message"
        ] == "Permission denied"  # no event came before it


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Channel": ""}, "Channel not specified"),
        ({"Channel": "PJSIP/@trunk"}, "Originate failed"),
        ({"Channel": "PJSIP/1390000000x@trunk"}, "Originate failed"),
        ({"Timeout": "soon"}, "Invalid timeout"),
        ({"Context": ""}, "Originate with 'Exten' requires 'Context' and 'Priority'"),
    ],
)
async def test_a_call_that_makes_no_sense_is_refused(
    changes: dict[str, str], message: str, client: Client
) -> None:
    answer = await client.ask(**originate(**changes))
    assert (answer["Response"], answer["Message"]) == ("Error", message)


async def test_a_synchronous_originate_answers_when_the_owner_does(client: Client) -> None:
    assert (await client.ask(**originate(Async="false")))["Response"] == "Success"
    await client.until("Hangup")
    assert (await client.ask(**originate("13900000006", Async="false")))["Message"] == "Originate failed"


async def test_unknown_actions_and_notes_are_errors(client: Client) -> None:
    assert (await client.ask(Action="Command", Command="core stop now"))["Response"] == "Error"
    assert (await client.ask(Action="DBGet", Family="movecar", Key=A))[
        "Message"
    ] == "Database entry not found"
    assert (await client.ask(Action="Hangup", Channel=A))["Message"] == "No such channel"


async def test_events_can_be_chosen(client: Client) -> None:
    assert (await client.ask(Action="Events", EventMask="user"))["Events"] == "On"
    await client.ask(**originate())
    while (event := await client.receive()).get("Key") != "1":
        assert event["Event"] == "UserEvent"
    assert (await client.ask(Action="Events", EventMask="off"))["Events"] == "Off"


async def test_logging_off_says_goodbye(client: Client) -> None:
    assert (await client.ask(Action="Logoff"))["Response"] == "Goodbye"
    await client.at_end()


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 100_000,  # a line without an end
        b"Action: Ping\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(200)) + b"\r\n",
    ],
)
async def test_input_without_bounds_ends_the_connection_and_no_other(
    data: bytes, sandbox: SandboxPbx, client: Client
) -> None:
    async with Client(sandbox.port) as hostile:
        hostile.write(data)
        await hostile.at_end()
    assert (await client.ask(Action="Ping"))["Response"] == "Success"


@pytest.mark.parametrize(
    "evil", ["x\u2028Event: Hangup", "x\x85y", "x\x00y", "x\rEvent: Hangup", "\ufffd"], ids=repr
)
async def test_what_a_client_says_is_never_echoed_as_a_header(evil: str, client: Client) -> None:
    client.write(f"Action: Ping\r\nActionID: {evil}\r\n\r\n".encode())
    answer = (await client.receive())["ActionID"]
    assert "\ufffd" in answer
    assert not set("\u2028\x85\x00\r") & set(answer)


async def test_bytes_that_are_no_text_do_no_harm(client: Client) -> None:
    client.write(b"Action: Ping\r\nActionID: \xff\xfe\r\nnonsense\r\n: \r\n\r\n")
    assert (await client.receive())["Response"] == "Success"


async def test_a_client_that_does_not_read_is_dropped_and_the_others_are_not(
    sandbox: SandboxPbx, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_server, "MAX_UNREAD", 100_000)
    async with Client(sandbox.port) as lazy:
        await lazy.ask(Action="Login", Username=USER, Secret=SECRET)
        lazy.writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(DEADLINE):
                while True:
                    lazy.write(b"Action: CoreShowChannels\r\nActionID: %s\r\n\r\n" % (b"x" * 1000) * 100)
                    await lazy.writer.drain()
    assert (await client.ask(Action="Ping"))["Response"] == "Success"


async def test_more_clients_than_expected_are_turned_away(
    sandbox: SandboxPbx, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_server, "MAX_CLIENTS", 1)
    with pytest.raises(asyncio.IncompleteReadError):
        async with Client(sandbox.port):
            pass


async def test_a_client_that_never_logs_in_is_left(
    sandbox: SandboxPbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_server, "LOGIN_SECONDS", 0.05)
    async with Client(sandbox.port) as client:
        await client.at_end()


async def test_stopping_ends_clients_and_calls() -> None:
    sandbox = SandboxPbx(USER, SECRET, SystemClock(), speed=0.001)
    await sandbox.start()
    async with Client(sandbox.port) as client:
        await client.ask(Action="Login", Username=USER, Secret=SECRET)
        await client.ask(**originate())
        await sandbox.stop()
        await client.at_end()
    await sandbox.stop()  # again, without effect


@pytest.mark.parametrize(("user", "secret"), [("", "x"), ("x", "")])
def test_a_sandbox_without_credentials_cannot_be_made(user: str, secret: str) -> None:
    with pytest.raises(ValueError, match="user and a secret"):
        SandboxPbx(user, secret, SystemClock())


async def test_the_port_can_be_chosen_and_is_not_shared() -> None:
    async with SandboxPbx(USER, SECRET, SystemClock()) as first:
        second = SandboxPbx(USER, SECRET, SystemClock(), port=first.port)
        with pytest.raises(OSError, match="in use"):
            await second.start()
