"""asterisk-ami's six defects: each shown on the bare library over real TCP, and each closed in ours."""

import asyncio
import datetime
import ssl
from pathlib import Path

import asterisk.ami
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.common.ami import Address, AmiLink, Timing, UnsafeValue, actions
from services.common.ami.messages import Event, read
from services.common.ami.wire import Item, Lost, Wire
from tests.unit.common.ami.conftest import BareClient, StartLink
from tests.unit.common.ami.peer import DEADLINE, SECRET, USER, Peer

pytestmark = [
    # Half of these tests run the bare library, whose threads die of exceptions and use a deprecated call.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

ATTEMPT = "0123456789abcdef0123456789abcdef"


async def test_silence_kills_the_bare_reader_for_good_and_ours_does_not_notice_it(
    peer: Peer, start_link: StartLink, bare: BareClient
) -> None:
    ours = start_link(peer.port)
    connection = await peer.accept_login()
    await ours.up()

    client = bare(peer.port, timeout=0.2)
    login = asyncio.create_task(asyncio.to_thread(client.login, USER, SECRET))
    await peer.accept_login()
    await login
    await asyncio.to_thread(client._thread.join, DEADLINE)  # nobody says anything
    assert not client._thread.is_alive()
    assert not client.finished.is_set()
    again = await asyncio.to_thread(client.login, USER, SECRET)
    assert await asyncio.to_thread(lambda: again.response) is None
    assert peer.accepted == 2  # ours and its first: logging in again opened no connection

    ping = asyncio.create_task(ours.link.send(actions.ping()))
    await connection.answer(await connection.action())
    assert (await ping).response.status == "Success"


async def test_line_breaks_in_values_inject_actions_with_the_bare_library_and_never_reach_ours(
    peer: Peer, start_link: StartLink, bare: BareClient
) -> None:
    client = bare(peer.port)
    login = asyncio.create_task(asyncio.to_thread(client.login, USER, SECRET))
    connection = await peer.accept_login()
    await login
    evil = "13900000001@trunk\r\n\r\nAction: Command\r\nCommand: core stop now"
    client.send_action(asterisk.ami.SimpleAction("Originate", Channel=f"PJSIP/{evil}"))
    assert (await connection.action())["Action"] == "Originate"
    assert (await connection.action())["Action"] == "Command"

    ours = start_link(peer.port)
    connection = await peer.accept_login()
    await ours.up()
    with pytest.raises(UnsafeValue):
        actions.originate(
            attempt_id=ATTEMPT, callee=evil, caller_id="0519110", script=1, speak="u82cf-d-1", ring_seconds=30
        )
    ping = asyncio.create_task(ours.link.send(actions.ping()))
    action = await connection.action()  # the first thing the peer hears
    assert action["Action"] == "Ping"
    await connection.answer(action)
    await ping


async def test_an_exception_in_a_consumer_kills_the_bare_reader_and_leaves_ours_alone(
    peer: Peer, start_link: StartLink, bare: BareClient
) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a bug in a consumer")

    client = bare(peer.port, timeout=5)
    client.add_event_listener(on_event=fail)
    login = asyncio.create_task(asyncio.to_thread(client.login, USER, SECRET))
    connection = await peer.accept_login()
    await login
    await connection.event("Hangup", Uniqueid=ATTEMPT)
    await asyncio.to_thread(client._thread.join, DEADLINE)
    assert not client._thread.is_alive()

    ours = start_link(peer.port)
    connection = await peer.accept_login()

    async def consume() -> None:
        while True:
            if isinstance(await ours.link.take(), tuple):
                fail()

    consumer = asyncio.create_task(consume())
    await connection.event("Hangup", Uniqueid=ATTEMPT)
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(consumer, DEADLINE)
    await connection.event("Hangup", Uniqueid="next")
    assert [event.fields["Uniqueid"] for event in await ours.events(1)] == ["next"]


async def test_a_large_message_is_cut_by_the_bare_library_and_arrives_whole_from_ours(
    peer: Peer, bare: BareClient
) -> None:
    size = 64_000_000  # more than the buffers of both ends can grow to
    client = bare(peer.port)
    login = asyncio.create_task(asyncio.to_thread(client.login, USER, SECRET))
    connection = await peer.accept_login()
    await login
    await asyncio.to_thread(client.send, "x" * size)
    client.disconnect()
    async with asyncio.timeout(DEADLINE):
        assert len(await connection.reader.read()) < size

    # Through the wire itself, because no action of ours is allowed to be large.
    wire = Wire(Address("127.0.0.1", peer.port), frozenset(), lambda _: None, 5)
    wire.start()
    connection = await peer.accept()
    for number in range(4):
        assert wire.send(str(number), bytes([number]) * (size // 4))
    async with asyncio.timeout(DEADLINE):
        received = await connection.reader.readexactly(size)
    assert received == b"".join(bytes([number]) * (size // 4) for number in range(4))
    wire.close("done")
    await connection.at_end()


async def test_action_ids_repeat_in_the_bare_library_and_are_unique_in_ours(
    peer: Peer, bare: BareClient
) -> None:
    assert bare(peer.port).next_action_id() == bare(peer.port).next_action_id()
    assert len({actions.ping().action_id for _ in range(1000)}) == 1000


async def test_the_bare_library_knows_only_ipv4_and_ours_connects_over_ipv6(
    start_link: StartLink, bare: BareClient
) -> None:
    async with Peer("::1") as peer:
        with pytest.raises(OSError, match="family"):
            await asyncio.to_thread(bare(peer.port, address="::1").connect)
        ours = start_link(peer.port, host="::1")
        await peer.accept_login()
        await ours.up()


async def _fate(address: Address) -> str:
    """Connect, and return why the connection ended."""
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[str] = loop.create_future()

    def deliver(items: list[Item]) -> None:
        if isinstance(items[-1], Lost):
            loop.call_soon_threadsafe(lost.set_result, items[-1].reason)

    Wire(address, frozenset(), deliver, 5).start()
    return await asyncio.wait_for(lost, DEADLINE)


def _self_signed(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "peer.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_the_bare_library_logs_in_in_clear_text_and_ours_can_use_tls_and_checks_the_certificate(
    tmp_path: Path, start_link: StartLink
) -> None:
    assert "tls" not in asterisk.ami.AMIClient.__init__.__code__.co_varnames
    assert SECRET in str(asterisk.ami.LoginAction(USER, SECRET))

    pem = _self_signed(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with Peer("127.0.0.1", tls=server) as peer:
        ours = start_link(peer.port, host="localhost", tls=trusting)
        connection = await peer.accept_login()
        await ours.up()
        big = "x" * 40_000  # longer than one TLS record
        for _ in range(3):
            await connection.event("UserEvent", Note=big)
        assert [event.fields["Note"] == big for event in await ours.events(3)] == [True] * 3
        connection.cut()
        await ours.down()

        assert await _fate(Address("localhost", peer.port, ssl.create_default_context())) == (
            "tls_certificate_verify_failed"
        )


async def test_auto_reconnect_never_connects_again_and_our_link_does(
    peer: Peer, start_link: StartLink, bare: BareClient
) -> None:
    client = bare(peer.port, timeout=0.2)
    reconnect = asterisk.ami.AutoReconnect(client, delay=0.05)
    reconnect.daemon = True
    login = asyncio.create_task(asyncio.to_thread(client.login, USER, SECRET))
    await peer.accept_login()
    await login
    failures: asyncio.Queue[object] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    reconnect.on_disconnect = lambda *details: loop.call_soon_threadsafe(failures.put_nowait, details)
    for _ in range(3):  # the peer hangs; each time AutoReconnect notices, it tries to log in again
        async with asyncio.timeout(DEADLINE):
            await failures.get()
    assert peer.accepted == 1
    reconnect.finished.set()
    await asyncio.to_thread(reconnect.join, DEADLINE)

    ours = start_link(
        peer.port, timing=Timing(ping_every=0.02, ping_deadline=0.1, first_retry=0.01, last_retry=0.05)
    )
    await peer.accept_login()
    await ours.up()
    assert await ours.down() == "ping_unanswered"  # this peer hangs as well
    connection = await peer.accept_login()
    await ours.up()
    connection.cut()
    assert await ours.down() in {"closed_by_peer", "connection_broken"}
    await peer.accept_login()
    await ours.up()


@pytest.mark.parametrize(
    "separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r", "\n"]
)
def test_line_separators_forge_keys_in_the_bare_parser_and_stay_in_the_value_in_ours(separator: str) -> None:
    text = f"Event: UserEvent\r\nCallerIDName: x{separator}Key: 1"
    assert asterisk.ami.Event.read(text)["Key"] == "1"

    event = read(text.encode(), frozenset({b"UserEvent"}))
    assert isinstance(event, Event)
    assert event.fields == {"CallerIDName": "x\ufffdKey: 1"}


def test_the_bare_library_prints_secrets_and_ours_shows_neither_secrets_nor_numbers() -> None:
    assert SECRET in str(asterisk.ami.LoginAction(USER, SECRET))

    login = actions.login(USER, SECRET, "840415273")
    assert SECRET.encode() not in login.wire()
    call = actions.originate(
        attempt_id=ATTEMPT,
        callee="13912345678",
        caller_id="0519110",
        script=1,
        speak="u82cf-d-1",
        ring_seconds=30,
    )
    link = AmiLink(Address("127.0.0.1", 5038), USER, SECRET, wanted=frozenset())
    event = Event("Hangup", {"ConnectedLineNum": "13912345678"})
    shown = "".join(f"{thing} {thing!r}" for thing in (login, call, link, event))
    for hidden in (SECRET, login.fields["Key"], "13912345678"):
        assert hidden not in shown
