"""Certificates that are about to expire: of every address we talk to over TLS, and in files (C4)."""

import asyncio
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

import structlog
from cryptography import x509

from services.common.clock import Clock
from services.common.settings import Settings
from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.detection.probes import GOOD, UNKNOWN, bad
from services.escalation.faults.metrics import CERTIFICATE_SECONDS

log = structlog.get_logger(__name__)

NAMES: Final = ("certificate", "certificate_expired")
EVERY_SECONDS: Final = 3600.0
AGAIN_SECONDS: Final = 60.0
"""How soon it is looked again while one is bad, or could not be seen: a renewal ends the fault soon."""
_PLACE_SECONDS: Final = 5.0
_PORTS: Final = {"https": 443, "rediss": 6379, "smtp": 25, "smtps": 465, "postgresql+asyncpg": 5432}
_SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""What a PostgreSQL client says to be given TLS; the server answers `S`."""
_MOST_LINES: Final = 50

Hello = Literal["tls", "smtp", "postgres"]
"""How TLS begins: at once, by STARTTLS, or by PostgreSQL's own request."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody shows a certificate. `setting` names it for people."""

    setting: str
    host: str
    port: int
    hello: Hello = "tls"


@dataclass(frozen=True, slots=True)
class File:
    """A file with certificates (PEM)."""

    setting: str
    path: Path


Place = Address | File


class NoTls(Exception):
    """The server offers no TLS: it has no certificate that could end."""


def places(settings: Settings) -> list[Place]:
    """Return every place with a certificate that this installation depends on."""
    urls = {
        "DESK_PUSH_URL": settings.desk_push_url,
        "DRILL_PUSH_URL": settings.drill_push_url,
        "SMS_URL": settings.sms_url,
        "REGISTRY_URL": settings.registry_url,
        "REDIS_URL": settings.redis_url,
        "SMTP_URL": settings.smtp_url.get_secret_value(),
        "DATABASE_URL": settings.database_url,
    }
    found: list[Place] = [place for name, url in urls.items() for place in _of_url(name, url)]
    if settings.pbx == "asterisk":
        nodes = [node for node in settings.asterisk_nodes if node.tls]
        found += [Address(f"AMI {node.name}", node.host, node.port) for node in nodes]
    if settings.registry_ca is not None:
        found.append(File("REGISTRY_CA", settings.registry_ca))
    for given in filter(None, (part.strip() for part in settings.certificates.split(","))):
        if given.startswith("/"):
            found.append(File("CERTIFICATES", Path(given)))
        else:
            found += _of_url("CERTIFICATES", given)
    return found


def _of_url(setting: str, url: str) -> Iterator[Address]:
    parts = urlsplit(url)
    hello: Hello = "tls"
    match parts.scheme:
        case "https" | "rediss" | "smtps":
            pass
        case "smtp":
            hello = "smtp"
        case "postgresql+asyncpg" if parse_qs(parts.query).get("ssl", ["disable"])[0] != "disable":
            hello = "postgres"
        case _:
            return
    if parts.hostname:
        yield Address(setting, parts.hostname, parts.port or _PORTS[parts.scheme], hello)


def verdict(known: Mapping[str, datetime], now: datetime, ahead: timedelta) -> dict[str, Reading]:
    """Judge certificates by their ends (place → not after).

    `certificate` is bad while one ends within `ahead`, or has ended; `certificate_expired` while one has.
    What could never be seen says nothing.
    """
    if not known:
        return dict.fromkeys(NAMES, UNKNOWN)
    soon = {place: end for place, end in known.items() if end - now <= ahead}
    ended = {place: end for place, end in soon.items() if end <= now}
    return {"certificate": _told(soon), "certificate_expired": _told(ended)}


def _told(ends: Mapping[str, datetime]) -> Reading:
    if not ends:
        return GOOD
    return bad("；".join(f"{place} 至 {end:%Y-%m-%d}" for place, end in sorted(ends.items(), key=_end)))


def _end(item: tuple[str, datetime]) -> datetime:
    return item[1]


class CertificateProbe:
    """Looks beside the other probes, which must not wait for it; says what it last saw of each place.

    A place that cannot be reached keeps what was seen there: that it is away is told by others.
    """

    def __init__(self, places: Sequence[Place], ahead: timedelta, clock: Clock) -> None:
        self._places = places
        self._ahead = ahead
        self._clock = clock
        self._known: dict[str, datetime] = {}
        self._unseen: set[str] = set()
        self._looked_at: float | None = None
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self) -> Mapping[str, Reading]:
        """Return what is known, and look again when it is time."""
        found = verdict(self._known, self._clock.now(), self._ahead)
        if self._is_due(found) and not self.looking:
            self._looked_at = self._clock.monotonic()
            self._looking = asyncio.create_task(self.look())
        return found

    @property
    def looking(self) -> bool:
        """Whether a look is under way."""
        return self._looking is not None and not self._looking.done()

    def _is_due(self, found: Mapping[str, Reading]) -> bool:
        if self._looked_at is None:
            return True
        calm = not self._unseen and all(reading == GOOD for reading in found.values())
        return self._clock.monotonic() - self._looked_at >= (EVERY_SECONDS if calm else AGAIN_SECONDS)

    async def look(self) -> None:
        """Read the certificate at every place."""
        await asyncio.gather(*(self._look_at(place) for place in self._places))

    async def _look_at(self, place: Place) -> None:
        name = _name(place)
        try:
            async with asyncio.timeout(_PLACE_SECONDS):
                if isinstance(place, File):
                    end = await asyncio.to_thread(_end_in_file, place.path)
                else:
                    end = await _end_at(place)
        except NoTls:
            self._known.pop(name, None)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as error:
            if name not in self._unseen:
                log.warning("certificate_not_seen", place=name, error=type(error).__name__)
            self._unseen.add(name)
            return
        else:
            self._known[name] = end
            CERTIFICATE_SECONDS.labels(name).set((end - self._clock.now()).total_seconds())
        self._unseen.discard(name)

    async def close(self) -> None:
        """Stop looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def _name(place: Place) -> str:
    where = str(place.path) if isinstance(place, File) else f"{place.host}:{place.port}"
    return f"{place.setting} {where}"


def _end_in_file(path: Path) -> datetime:
    """The first end of all certificates in a file. Raises OSError, ValueError."""
    return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(path.read_bytes()))


async def _end_at(address: Address) -> datetime:
    """The end of the certificate shown there. Raises NoTls, OSError, ValueError, IncompleteReadError."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        if address.hello == "smtp":
            await _smtp_hello(reader, writer)
        elif address.hello == "postgres":
            writer.write(_SSL_REQUEST)
            if await reader.readexactly(1) != b"S":
                raise NoTls
        # Read whoever it is from: an expired or unknown certificate is what we look for, and nothing is said.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        await writer.start_tls(context, server_hostname=address.host)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown).not_valid_after_utc
    finally:
        writer.transport.abort()


async def _smtp_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for TLS. Raises NoTls where the server offers none."""
    for line, answer in (("", b"220"), ("EHLO movecar\r\n", b"250"), ("STARTTLS\r\n", b"220")):
        writer.write(line.encode())
        if not await _answers(reader, answer):
            raise NoTls


async def _answers(reader: asyncio.StreamReader, code: bytes) -> bool:
    for _ in range(_MOST_LINES):
        line = await reader.readline()
        if line[3:4] != b"-":
            return line.startswith(code)
    return False
