"""Client of the provincial traffic police platform (A2). The answer is hostile until it is checked.

A lookup makes up to three attempts within ten seconds, behind a breaker. It sends no cookies, takes no
proxy from the environment, follows no redirect, takes no compressed body, and reads no more than
`MAX_ANSWER` bytes.
"""

import asyncio
import ssl
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog
from pydantic import ValidationError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from services.common.clock import Clock
from services.common.ids import new_id
from services.movecar.plates import Color, InvalidPlate, Plate, parse
from services.movecar.registry.answers import (
    Answer,
    Outage,
    Unavailable,
    Vehicle,
    callable_phones,
    decide,
    owner_name,
)
from services.movecar.registry.breaker import Breaker, BreakerState
from services.movecar.registry.wire import LookupAnswer, LookupRequest

log = structlog.get_logger(__name__)

MAX_ANSWER = 64 * 1024
"""Largest body read, in bytes; a real answer has a few hundred."""
ATTEMPTS = 3
_OK = 200
_BROKEN = 500
# The platform's own trouble, likely to pass; anything else would only be answered the same again.
_PASSING = frozenset({500, 502, 503, 504})
_CONNECTIONS = 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the platform, in seconds, and when to leave it alone."""

    connect: float = 2.0
    read: float = 3.0
    """Longest silence within an answer."""
    attempt: float = 5.0
    lookup: float = 10.0
    """For all attempts of a lookup together."""
    failures: int = 3
    """Failed lookups in a row after which the breaker opens."""
    cooling: float = 15.0
    """Until a lookup tries an open breaker again."""
    quiet: float = 600.0
    """After so long without a lookup an open breaker says nothing any more; the platform is knocked at."""
    knock: float = 2.0
    """How long it may take to answer a knock."""
    knocks: float = 5.0
    """Between two knocks."""


class PlatformTrouble(Exception):
    """An attempt gave no answer that can be trusted; the message is the Outage."""

    def __init__(self, reason: Outage) -> None:
        super().__init__(reason)
        self.reason = reason


class PassingTrouble(PlatformTrouble):
    """Trouble that another attempt may not meet: the transport failed, or the platform said so."""


class HttpRegistry:
    """Asks the platform at `url`; an empty `token` where it knows us by address.

    The settings see to it that the URL is private: owners' numbers travel over it.
    `own` are the service's own numbers as dialled, which no owner may have. `ca_file` names the authorities
    to trust instead of the system's, for a private network.
    """

    def __init__(
        self,
        url: str,
        token: str,
        clock: Clock,
        *,
        own: Container[str] = (),
        ca_file: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._clock = clock
        self._own = own
        self._ca_file = ca_file
        self._limits = limits = limits or Limits()
        self._session: aiohttp.ClientSession | None = None
        self._failed_at = self._knocked_at = float("-inf")
        self._is_in = False
        self.breaker = Breaker(clock, limit=limits.failures, cooling=limits.cooling)

    async def start(self) -> None:
        """Make ready to ask; connects to nothing yet."""
        limits = self._limits
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=ssl.create_default_context(cafile=self._ca_file), limit=_CONNECTIONS
            ),
            timeout=aiohttp.ClientTimeout(
                total=limits.attempt,
                connect=limits.connect,
                sock_connect=limits.connect,
                sock_read=limits.read,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def trouble(self) -> str | None:
        """Tell what keeps lookups from being answered just now, or None.

        After the last failed lookup has long been the only news, a platform that answers anything counts as
        back: nobody may want a car moved for hours, and the desk is owed the recovery in time (C4).
        """
        now = self._clock.monotonic()
        if self.breaker.state is BreakerState.CLOSED:
            return None
        if now - self._failed_at >= self._limits.quiet:
            if now - self._knocked_at >= self._limits.knocks:
                self._knocked_at = now
                self._is_in = await self._knock()
            if self._is_in:
                return None
        return f"the provincial platform failed {self._limits.failures} lookups in a row"

    async def lookup(self, plate: Plate, color: Color | None, case_id: str) -> Answer:
        """Ask for a plate on behalf of an open case. Whatever goes wrong is Unavailable, with its reason."""
        permit = self.breaker.acquire()
        if permit is None:
            return Unavailable(Outage.BREAKER_OPEN)
        request = LookupRequest(request_id=new_id(), case_id=case_id, plate=plate.text, color=color)
        try:
            async with asyncio.timeout(self._limits.lookup):
                vehicles = await self._ask(request)
        except (PlatformTrouble, TimeoutError) as error:
            reason = error.reason if isinstance(error, PlatformTrouble) else Outage.TIMEOUT
            self.breaker.failed(permit)
            self._failed_at, self._is_in = self._clock.monotonic(), False
            log.warning(
                "registry_unavailable", case_id=case_id, reason=reason, breaker=self.breaker.state.value
            )
            return Unavailable(reason)
        except BaseException:
            self.breaker.released(permit)
            raise
        self.breaker.succeeded(permit)
        return decide(vehicles, color)

    async def _knock(self) -> bool:
        """Whether the platform answers, without asking it for anything: no plate is looked up (A3)."""
        if self._session is None:
            return False
        try:
            async with self._session.get(
                self._url,
                headers={"Accept-Encoding": "identity"},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._limits.knock),
            ) as response:
                return response.status < _BROKEN
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    async def _ask(self, request: LookupRequest) -> list[Vehicle]:
        async for attempt in self._policy():
            with attempt:
                body = await self._attempt(request)
        return judged(body, request, self._own)

    def _policy(self) -> AsyncRetrying:
        """Policy `registry-lookup`: asking twice is harmless, so what may pass is tried again, soon."""
        return AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=1.0),
            retry=retry_if_exception_type(PassingTrouble),
            sleep=self._clock.sleep,
            reraise=True,
        )

    async def _attempt(self, request: LookupRequest) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._session is None:
            raise RuntimeError("lookup before start")
        try:
            async with self._session.post(
                self._url,
                data=request.model_dump_json(exclude_none=True).encode(),
                headers=headers | {"Content-Type": "application/json; charset=utf-8"},
                allow_redirects=False,
            ) as response:
                return await _body(response)
        except TimeoutError as error:
            raise PassingTrouble(Outage.TIMEOUT) from error
        except (aiohttp.ClientError, OSError) as error:
            raise PassingTrouble(Outage.CONNECTION) from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.status != _OK:
        trouble = PassingTrouble if response.status in _PASSING else PlatformTrouble
        raise trouble(Outage.STATUS)
    # A compressed body would have to be unpacked to learn its size, and none was asked for.
    if response.content_type != "application/json" or not _is_plain(response):
        raise PlatformTrouble(Outage.MALFORMED)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise PlatformTrouble(Outage.OVERSIZE)
    return bytes(body)


def _is_plain(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("Content-Encoding", "identity").lower() == "identity"


def judged(body: bytes, request: LookupRequest, own: Container[str]) -> list[Vehicle]:
    """Return the vehicles of an answer to this very request. Raises PlatformTrouble."""
    try:
        answer = LookupAnswer.model_validate_json(body)
    except ValidationError as error:
        raise PlatformTrouble(Outage.MALFORMED) from error
    if answer.case_id != request.case_id or answer.request_id != request.request_id:
        raise PlatformTrouble(Outage.WRONG_CASE)
    try:
        plate = parse(answer.plate)
    except InvalidPlate as error:
        raise PlatformTrouble(Outage.WRONG_PLATE) from error
    colors = [vehicle.color for vehicle in answer.vehicles]
    if plate.text != request.plate or not all(map(plate.allows, colors)):
        raise PlatformTrouble(Outage.WRONG_PLATE)
    if len(set(colors)) < len(colors):
        raise PlatformTrouble(Outage.MALFORMED)
    return [_vehicle(plate, item.color, item.owner, item.phones, own) for item in answer.vehicles]


def _vehicle(plate: Plate, color: Color, owner: str, texts: list[str], own: Container[str]) -> Vehicle:
    phones, refused = callable_phones(texts, own)
    try:
        name = owner_name(owner)
    except ValueError as error:
        raise PlatformTrouble(Outage.MALFORMED) from error
    return Vehicle(plate, color, name, phones, len(refused))
