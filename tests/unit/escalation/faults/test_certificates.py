"""Certificates that end: what is looked at, when that is told, and what a real server shows."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.stack.ports import LOOPBACK, free_port
from services.common.clock import ManualClock
from services.common.settings import load_settings
from services.escalation.faults.detection.certificates import (
    AGAIN_SECONDS,
    EVERY_SECONDS,
    Address,
    CertificateProbe,
    File,
    Hello,
    Place,
    places,
    verdict,
)

NOW = datetime(2026, 4, 1, tzinfo=UTC)
AHEAD = timedelta(days=14)


@pytest.mark.parametrize(
    ("days", "soon", "expired"),
    [
        # nothing could be seen yet: that says nothing
        ([], "unknown", "unknown"),
        # long to go; one of several that has not; to the second
        ([300], "good", "good"),
        ([300, 13], "bad", "good"),
        ([14.001], "good", "good"),
        ([14], "bad", "good"),
        # over, to the second: told once more
        ([0.001], "bad", "good"),
        ([0], "bad", "bad"),
        ([300, -400], "bad", "bad"),
    ],
)
def test_an_end_is_told_ahead_and_again_when_it_has_come(
    days: Sequence[float], soon: str, expired: str
) -> None:
    known = {f"place {number}": NOW + timedelta(days=away) for number, away in enumerate(days)}
    found = verdict(known, NOW, AHEAD)
    assert [found[name].health for name in ("certificate", "certificate_expired")] == [soon, expired]


def test_the_reason_names_places_and_days_soonest_first() -> None:
    known = {"A a:1": NOW + timedelta(days=9), "B b:2": NOW + timedelta(days=2), "C c:3": NOW + AHEAD * 2}
    assert verdict(known, NOW, AHEAD)["certificate"].detail == "B b:2 至 2026-04-03；A a:1 至 2026-04-10"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        # without TLS there is nothing to end
        ({"desk_push_url": "http://desk/push", "redis_url": "redis://r"}, []),
        # every channel and server that is asked over TLS, at its usual port
        (
            {"desk_push_url": "https://desk/push", "sms_url": "https://sms:8443/x"},
            [Address("DESK_PUSH_URL", "desk", 443), Address("SMS_URL", "sms", 8443)],
        ),
        ({"redis_url": "rediss://r:6390/0"}, [Address("REDIS_URL", "r", 6390)]),
        # mail: at once, or when the server offers it
        ({"smtp_url": "smtps://user:secret@mail"}, [Address("SMTP_URL", "mail", 465)]),
        ({"smtp_url": "smtp://mail"}, [Address("SMTP_URL", "mail", 25, "smtp")]),
        # PostgreSQL has its own way to begin
        ({"database_url": "postgresql+asyncpg://u:p@db/m"}, []),
        (
            {"database_url": "postgresql+asyncpg://u:p@db:5433/m?ssl=require"},
            [Address("DATABASE_URL", "db", 5433, "postgres")],
        ),
        # the platform, and the file with whom we trust there
        (
            {"registry_url": "https://platform/lookup", "registry_ca": Path("/etc/ca.pem")},
            [Address("REGISTRY_URL", "platform", 443), File("REGISTRY_CA", Path("/etc/ca.pem"))],
        ),
        # Asterisk's manager
        (
            {
                "pbx": "asterisk",
                "ami_host": "pbx",
                "ami_port": 5039,
                "ami_user": "u",
                "ami_secret": "s",
                "ami_tls": True,
            },
            [Address("AMI main", "pbx", 5039)],
        ),
        # what else the administrator names: our own address behind a proxy, and files
        (
            {"certificates": "https://114.example.cn, /etc/ssl/114.pem"},
            [Address("CERTIFICATES", "114.example.cn", 443), File("CERTIFICATES", Path("/etc/ssl/114.pem"))],
        ),
    ],
)
def test_what_is_looked_at_follows_from_the_settings(
    tmp_path: Path, given: dict[str, Any], found: Sequence[Place]
) -> None:
    values: dict[str, Any] = {
        "data_dir": tmp_path,
        "secret_key": "k" * 32,
        "desk_push_secret": "s",
        "_env_file": None,
    }
    assert places(load_settings(**(values | given))) == found


def certificate(directory: Path, end: datetime) -> Path:
    """A file with a key and its own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "desk.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    file = directory / f"{end:%Y%m%d}.pem"
    file.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(encoding)
    )
    return file


@asynccontextmanager
async def showing(file: Path, hello: Hello, *, offers: bool = True) -> AsyncIterator[int]:
    """A server that shows a certificate after the hello of its protocol; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if hello == "smtp":
                writer.write(b"220-mail.example.com\r\n220 ESMTP\r\n")
                await reader.readline()
                writer.write(b"250-mail.example.com\r\n250 STARTTLS\r\n")
                await reader.readline()
                writer.write(b"220 go ahead\r\n" if offers else b"502 not here\r\n")
            elif hello == "postgres":
                assert await reader.readexactly(8) == b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
                writer.write(b"S" if offers else b"N")
            await writer.start_tls(context)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(talk, LOOPBACK) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("hello", ["tls", "smtp", "postgres"])
@pytest.mark.parametrize("days", [300, 5, -5])
async def test_a_server_is_read_by_its_own_hello_even_when_nobody_would_trust_it(
    tmp_path: Path, hello: Hello, days: int
) -> None:
    file = certificate(tmp_path, NOW + timedelta(days=days))
    async with showing(file, hello) as port:
        probe = CertificateProbe([Address("X", LOOPBACK, port, hello)], AHEAD, ManualClock())
        await probe.look()
        found = await probe()
    health = [found[name].health for name in ("certificate", "certificate_expired")]
    assert health == {300: ["good", "good"], 5: ["bad", "good"], -5: ["bad", "bad"]}[days]
    await probe.close()


@pytest.mark.parametrize("hello", ["smtp", "postgres"])
async def test_a_server_that_offers_no_tls_has_no_certificate_to_end(tmp_path: Path, hello: Hello) -> None:
    async with showing(certificate(tmp_path, NOW), hello, offers=False) as port:
        probe = CertificateProbe([Address("X", LOOPBACK, port, hello)], AHEAD, ManualClock())
        await probe.look()
        assert (await probe())["certificate"].health == "unknown"
        await probe.close()


async def test_a_file_ends_with_the_first_of_its_certificates(tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    ends = (NOW + timedelta(days=900), NOW + timedelta(days=3))
    chain.write_bytes(b"".join(certificate(tmp_path, end).read_bytes() for end in ends))
    probe = CertificateProbe([File("CERTIFICATES", chain)], AHEAD, ManualClock())
    await probe.look()
    assert (await probe())["certificate"].detail == f"CERTIFICATES {chain} 至 2026-04-04"
    await probe.close()


async def test_a_place_that_is_away_keeps_what_was_seen_there_and_is_looked_at_again_soon(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    file = tmp_path / "one.pem"
    probe = CertificateProbe([File("X", file), Address("Y", LOOPBACK, free_port())], AHEAD, clock)
    file.write_bytes(certificate(tmp_path, NOW + timedelta(days=2)).read_bytes())
    await probe.look()
    file.unlink()
    await probe.look()
    assert (await probe())["certificate"].health == "bad"
    await probe.close()


async def test_looking_keeps_no_other_probe_waiting_and_a_renewal_is_seen_within_a_minute(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    file = tmp_path / "one.pem"
    probe = CertificateProbe([File("X", file)], AHEAD, clock)

    async def shown(days: float, after: float) -> str:
        """What is known `after` so many seconds, with a certificate of so many days meanwhile."""
        file.write_bytes(certificate(tmp_path, NOW + timedelta(days=days)).read_bytes())
        await clock.advance(after)
        await probe()  # this one only begins to look, when it is time
        async with asyncio.timeout(60):
            while probe.looking:  # noqa: ASYNC110 - nothing else waits for a look
                await asyncio.sleep(0.001)
        return (await probe())["certificate"].health

    assert await shown(2, 0) == "bad"
    # bad: the renewal is seen within a minute, and not asked for all the time
    assert await shown(300, AGAIN_SECONDS - 1) == "bad"
    assert await shown(300, 1) == "good"
    # well: once an hour is enough
    assert await shown(2, EVERY_SECONDS - 1) == "good"
    assert await shown(2, 1) == "bad"
    await probe.close()
