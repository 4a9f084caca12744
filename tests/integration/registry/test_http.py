"""The client of the provincial platform against a real server that misbehaves."""

import asyncio
import datetime
import gzip
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.common.clock import ManualClock
from services.movecar.plates import Color, parse
from services.movecar.registry.answers import Ambiguous, Answer, Found, NotFound, Outage, Unavailable
from services.movecar.registry.breaker import BreakerState
from services.movecar.registry.http import ATTEMPTS, MAX_ANSWER, HttpRegistry, Limits
from tests.integration.registry.platform import (
    Behaviour,
    Platform,
    answer,
    cut_short,
    drip,
    endless,
    half_close,
    raw,
    reset,
    response,
    running_platform,
    silence,
    vehicle,
)

PLATE = parse("苏D10001")
# Nothing in these tests comes near a limit by being slow, however busy the machine, ...
LIMITS = Limits(connect=30, read=30, attempt=30, lookup=60, failures=3, cooling=30)
# ... save where the platform never answers.
HASTY = Limits(connect=30, read=0.5, attempt=1.0, lookup=60)


class ImpatientClock(ManualClock):
    """A clock on which every wait is over at once."""

    async def sleep(self, seconds: float) -> None:
        await self.advance(seconds)


@asynccontextmanager
async def client_of(url: str, limits: Limits = LIMITS, **options: Any) -> AsyncIterator[HttpRegistry]:
    registry = HttpRegistry(url, options.pop("token", ""), ImpatientClock(), limits=limits, **options)
    await registry.start()
    yield registry
    await registry.close()


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with running_platform() as running:
        yield running


@pytest.fixture
async def registry(platform: Platform) -> AsyncIterator[HttpRegistry]:
    async with client_of(platform.url, own={"051981997327"}) as client:
        yield client


async def lookup(registry: HttpRegistry, color: Color | None = None) -> Answer:
    return await registry.lookup(PLATE, color, "case-1")


async def test_a_vehicle_is_found_and_the_question_says_nothing_but_what_is_needed(
    platform: Platform, registry: HttpRegistry
) -> None:
    platform.behaviours = [answer(vehicle())]
    found = await lookup(registry)
    assert isinstance(found, Found)
    assert (found.vehicle.owner, found.vehicle.phones) == ("王建国", ("13905190001",))
    [asked] = platform.asked
    assert asked.line == "POST /vehicles HTTP/1.1"
    assert asked.body == {"request_id": asked.body["request_id"], "case_id": "case-1", "plate": "苏D10001"}
    assert "authorization" not in asked.headers


async def test_the_colour_is_asked_for_where_it_is_known(platform: Platform, registry: HttpRegistry) -> None:
    platform.behaviours = [answer(vehicle("yellow"))]
    found = await lookup(registry, Color.YELLOW)
    assert isinstance(found, Found)
    assert platform.asked[0].body["color"] == "yellow"
    # The platform need not obey: a vehicle of another colour is not the one asked for.
    platform.behaviours = [answer(vehicle("blue"))]
    assert await lookup(registry, Color.YELLOW) == NotFound((Color.BLUE,))


async def test_no_vehicle_and_two_vehicles_are_told_apart(platform: Platform, registry: HttpRegistry) -> None:
    platform.behaviours = [answer(), answer(vehicle("blue"), vehicle("yellow"))]
    assert await lookup(registry) == NotFound()
    assert await lookup(registry) == Ambiguous((Color.BLUE, Color.YELLOW))


async def test_numbers_that_may_not_be_called_are_dropped_and_counted(
    platform: Platform, registry: HttpRegistry
) -> None:
    numbers = ("110", "0519-81997328", "+1 212 555 0100", "0519-81997327", "139 0519 0001", "1\r\nAction: x")
    platform.behaviours = [answer(vehicle(phones=numbers))]
    found = await lookup(registry)
    assert isinstance(found, Found)
    assert found.vehicle.phones == ("051981997328", "13905190001")
    assert found.vehicle.dropped_phones == 4


async def test_the_token_is_sent_and_not_printed(platform: Platform) -> None:
    platform.behaviours = [answer()]
    async with client_of(platform.url, token="platform-token") as registry:
        await lookup(registry)
        assert "platform-token" not in repr(registry)
    assert platform.asked[0].headers["authorization"] == "Bearer platform-token"


async def test_cookies_are_not_kept_and_the_environments_proxy_is_not_used(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    platform.behaviours = [response(404, set_cookie="a=b"), answer()]
    async with client_of(platform.url) as registry:
        await lookup(registry)
        assert await lookup(registry) == NotFound()
    assert "cookie" not in platform.asked[1].headers


async def test_many_lookups_at_once_each_get_their_own_answer(
    platform: Platform, registry: HttpRegistry
) -> None:
    platform.behaviours = [answer(vehicle())]
    plates = [parse(f"苏D1{number:04}") for number in range(60)]
    answers = await asyncio.gather(*(registry.lookup(plate, None, "case-1") for plate in plates))
    assert [found.vehicle.plate for found in answers if isinstance(found, Found)] == plates


@pytest.mark.parametrize(
    "trouble",
    [
        # the platform's own trouble, by every name
        response(500),
        response(502),
        response(503),
        response(504),
        # the connection's
        reset,
        half_close,
        cut_short,
    ],
)
async def test_passing_trouble_is_tried_again_with_the_same_request(
    platform: Platform, registry: HttpRegistry, trouble: Behaviour
) -> None:
    platform.behaviours = [trouble, answer(vehicle())]
    assert isinstance(await lookup(registry), Found)
    first, second = platform.asked
    assert first.body == second.body
    assert registry.breaker.state is BreakerState.CLOSED
    platform.behaviours = [answer()]
    await lookup(registry)
    assert platform.asked[2].body["request_id"] != first.body["request_id"]


@pytest.mark.parametrize(
    "trouble",
    [
        # no headers
        silence,
        # a body a byte at a time, never silent and never done
        drip,
    ],
)
async def test_a_platform_that_takes_for_ever_is_given_up_and_asked_again(
    platform: Platform, trouble: Behaviour
) -> None:
    platform.behaviours = [trouble]
    async with client_of(platform.url, HASTY) as registry:
        assert await lookup(registry) == Unavailable(Outage.TIMEOUT)
    first, second, third = platform.asked
    assert first.body == second.body == third.body


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        # 503 for ever
        (response(503), Outage.STATUS),
        # reset, half-closed, cut short
        (reset, Outage.CONNECTION),
        (half_close, Outage.CONNECTION),
        (cut_short, Outage.CONNECTION),
        # not HTTP at all; a header without end
        (raw(b"\x16\x03\x01 not http\r\n\r\n"), Outage.CONNECTION),
        (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), Outage.CONNECTION),
    ],
)
async def test_trouble_that_stays_is_named_after_the_last_attempt(
    platform: Platform, registry: HttpRegistry, trouble: Behaviour, reason: Outage
) -> None:
    platform.behaviours = [trouble]
    assert await lookup(registry) == Unavailable(reason)
    assert len(platform.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("final", "reason"),
    [
        # a redirect, even to ourselves, is not followed
        (response(302, location="/vehicles"), Outage.STATUS),
        (response(307, location="http://127.0.0.1:1/"), Outage.STATUS),
        # refusals, and a success that is none
        (response(400), Outage.STATUS),
        (response(401), Outage.STATUS),
        (response(404), Outage.STATUS),
        (response(429), Outage.STATUS),
        (response(204), Outage.STATUS),
        # a log-in page; no type at all
        (response(body=b"<html>", content_type="text/html"), Outage.MALFORMED),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), Outage.MALFORMED),
        # nothing, half a document, another document, not UTF-8, nesting without end
        (response(), Outage.MALFORMED),
        (response(body=b'{"request_id": '), Outage.MALFORMED),
        (response(body=b"[]"), Outage.MALFORMED),
        (response(body=b'{"request_id": "\xff"}'), Outage.MALFORMED),
        (response(body=b"[" * 60_000), Outage.MALFORMED),
        # too large by its own word
        (response(body=b" " * (MAX_ANSWER + 1)), Outage.OVERSIZE),
        # compressed, though nobody asked for it: a bomb of 200 MB in 200 kB
        (response(body=gzip.compress(bytes(200_000_000)), content_encoding="gzip"), Outage.MALFORMED),
        # fields beyond the agreed ones
        (answer(vehicle(), extra=1), Outage.MALFORMED),
        (answer(vehicle() | {"address": "常州"}), Outage.MALFORMED),
        # fields of other types
        (answer(vehicle(phones="13905190001")), Outage.MALFORMED),
        (answer(vehicle(phones=(13905190001,))), Outage.MALFORMED),
        (answer(vehicle(color="red")), Outage.MALFORMED),
        (answer(vehicle(owner="")), Outage.MALFORMED),
        (answer(vehicle(owner="王\u2028建国")), Outage.MALFORMED),
        (answer(vehicles={}), Outage.MALFORMED),
        # more than there can be; the same colour twice
        (answer(vehicle(phones=("13905190001",) * 11)), Outage.MALFORMED),
        (answer(*[vehicle()] * 7), Outage.MALFORMED),
        (answer(vehicle(), vehicle(owner="李秀英")), Outage.MALFORMED),
        # the answer to another question
        (answer(vehicle(), case_id="case-2"), Outage.WRONG_CASE),
        (answer(vehicle(), request_id="0" * 32), Outage.WRONG_CASE),
        # another car; no plate; a colour this plate cannot have
        (answer(vehicle(), plate="苏D10002"), Outage.WRONG_PLATE),
        (answer(vehicle(), plate="苏D1000I"), Outage.WRONG_PLATE),
        (answer(vehicle("green")), Outage.WRONG_PLATE),
    ],
)
async def test_what_cannot_be_believed_is_not_asked_for_again(
    platform: Platform, registry: HttpRegistry, final: Behaviour, reason: Outage
) -> None:
    platform.behaviours = [final]
    assert await lookup(registry) == Unavailable(reason)
    assert len(platform.asked) == 1


async def test_an_endless_answer_is_cut_off_at_the_limit(platform: Platform, registry: HttpRegistry) -> None:
    platform.behaviours = [endless(platform)]
    assert await lookup(registry) == Unavailable(Outage.OVERSIZE)
    assert len(platform.asked) == 1
    # What was under way in both sides' socket buffers came on top of the limit.
    assert platform.sent < 16 * 2**20


async def test_all_attempts_together_keep_to_the_lookups_deadline(platform: Platform) -> None:
    platform.behaviours = [silence]
    async with client_of(platform.url, Limits(read=60, attempt=60, lookup=0.3)) as registry:
        assert await lookup(registry) == Unavailable(Outage.TIMEOUT)
    assert len(platform.asked) == 1


async def test_nobody_listening_is_a_connection_outage() -> None:
    async with running_platform() as gone:
        url = gone.url
    async with client_of(url) as registry:
        assert await lookup(registry) == Unavailable(Outage.CONNECTION)


async def test_a_platform_that_stays_down_is_left_alone_and_tried_again_later(platform: Platform) -> None:
    clock = ImpatientClock()
    registry = HttpRegistry(platform.url, "", clock, limits=LIMITS)
    await registry.start()
    platform.behaviours = [response(503)]
    for _ in range(LIMITS.failures):
        assert await registry.trouble() is None
        assert await lookup(registry) == Unavailable(Outage.STATUS)
    asked = len(platform.asked)
    assert await lookup(registry) == Unavailable(Outage.BREAKER_OPEN)
    assert await registry.trouble() is not None
    assert len(platform.asked) == asked
    # Still down when it is tried again, by one of three lookups.
    await clock.advance(LIMITS.cooling + 1)
    answers = await asyncio.gather(*(lookup(registry) for _ in range(3)))
    assert sorted(str(one.reason) for one in answers if isinstance(one, Unavailable)) == [
        "breaker_open",
        "breaker_open",
        "status",
    ]
    # Up again.
    await clock.advance(LIMITS.cooling + 1)
    platform.behaviours = [answer(vehicle())]
    assert isinstance(await lookup(registry), Found)
    assert isinstance(await lookup(registry), Found)
    assert await registry.trouble() is None
    await registry.close()


@pytest.mark.parametrize(
    ("behaviour", "is_in"),
    [
        # it answers again, though not what it is never asked: a GET
        (response(200), True),
        (response(405), True),
        (response(401), True),
        # still broken
        (response(503), False),
        (reset, False),
        (silence, False),
    ],
)
async def test_when_nobody_asks_for_long_a_knock_tells_whether_it_is_back(
    platform: Platform, behaviour: Behaviour, is_in: bool
) -> None:
    clock = ImpatientClock()
    limits = replace(LIMITS, quiet=600, knock=0.5, knocks=5)
    registry = HttpRegistry(platform.url, "secret", clock, limits=limits)
    await registry.start()
    platform.behaviours = [response(503)]
    for _ in range(limits.failures):
        await lookup(registry)
    platform.behaviours = [behaviour]
    asked = len(platform.asked)
    # While somebody asked a moment ago, the breaker's word counts.
    await clock.advance(590)
    assert await registry.trouble() is not None
    assert len(platform.asked) == asked
    await clock.advance(11)
    assert (await registry.trouble() is None) is is_in
    # No plate, no case, no token; and not more often than every few seconds.
    assert await registry.trouble() is not None or is_in
    knocks = platform.asked[asked:]
    assert len(knocks) == (2 if behaviour is reset else 1)  # a kept connection that breaks is tried anew
    for knock in knocks:
        assert (knock.line.split()[0], knock.body) == ("GET", {})
        assert "authorization" not in knock.headers
    # A lookup that fails is news again.
    platform.behaviours = [response(503)]
    await lookup(registry)
    assert await registry.trouble() is not None
    await registry.close()


async def test_answers_that_cannot_be_believed_open_the_breaker_too(
    platform: Platform, registry: HttpRegistry
) -> None:
    platform.behaviours = [answer(vehicle(), plate="苏D10002")]
    for _ in range(LIMITS.failures):
        await lookup(registry)
    assert registry.breaker.state is BreakerState.OPEN


async def test_a_cancelled_lookup_says_nothing_about_the_platform(platform: Platform) -> None:
    arrived = asyncio.Event()

    async def hold(_: object, reader: asyncio.StreamReader, __: object) -> None:
        arrived.set()
        await reader.read()

    platform.behaviours = [hold]
    async with client_of(platform.url, Limits(read=60, attempt=60, lookup=60, failures=1)) as registry:
        looking = asyncio.create_task(lookup(registry))
        await asyncio.wait_for(arrived.wait(), 10)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        platform.behaviours = [answer()]
        assert await lookup(registry) == NotFound()


def self_signed(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1 and the file of the authority that made it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "platform")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "server.pem").write_bytes(private + public)
    (directory / "authority.pem").write_bytes(public)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "server.pem")
    return context, directory / "authority.pem"


async def test_a_platform_that_cannot_prove_who_it_is_is_told_nothing(tmp_path: Path) -> None:
    tls, authority = self_signed(tmp_path)
    async with running_platform(tls) as platform:
        platform.behaviours = [answer(vehicle())]
        async with client_of(platform.url) as registry:
            assert await lookup(registry) == Unavailable(Outage.CONNECTION)
        assert platform.asked == []
        async with client_of(platform.url, ca_file=authority) as registry:
            assert isinstance(await lookup(registry), Found)


async def test_the_example_in_the_protocols_description_is_accepted(
    platform: Platform, registry: HttpRegistry
) -> None:
    platform.behaviours = [
        answer(json.loads('{"color": "blue", "owner": "王建国", "phones": ["13905190001", "0519-81000001"]}'))
    ]
    found = await lookup(registry, Color.BLUE)
    assert isinstance(found, Found)
    assert found.vehicle.phones == ("13905190001", "051981000001")
