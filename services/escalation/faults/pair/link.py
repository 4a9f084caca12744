"""The two machines' conversation over HTTP: each asks the other every second, and at once when it has news.

A question and its answer both say everything, so that it is enough when one of the two can reach the other.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from http import HTTPStatus

import aiohttp
import structlog
from aiohttp import web

from services.common.clock import Clock
from services.common.http.inputs import read_body
from services.common.http.problems import Problem
from services.escalation.faults.engine import Engine
from services.escalation.faults.metrics import PEER_FOLLOWED, PEER_MESSAGES, PEER_UP
from services.escalation.faults.pair.joined import Shared
from services.escalation.faults.pair.messages import MAX_BYTES, Message, Refused, headers, read, write
from services.escalation.faults.pair.news import unsettled
from services.escalation.faults.pair.pair import Pair

log = structlog.get_logger(__name__)

PATH = "/peer"
EVERY_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_FIRST_SECONDS = 3.0
"""How long a start waits to hear what the other machine did meanwhile."""
_TELL_SECONDS = 1.0
"""How long a notice waits for the other machine to know of it first."""
_STOOD_STILL_SECONDS = 5.0


class Link:
    """Carries messages between this machine's pair and the other's, whose address is `url`."""

    def __init__(self, pair: Pair, engine: Engine, url: str, secret: str, clock: Clock) -> None:
        self._pair, self._engine, self._clock = pair, engine, clock
        self._url, self._secret = url.rstrip("/") + PATH, secret
        self._woken = asyncio.Event()
        self._exchanged = asyncio.Condition()
        self._was_heard = False
        pair.on_owed(self._woken.set)

    async def run(self) -> None:
        """Talk for ever."""
        last = self._clock.monotonic()
        while True:
            self._woken.clear()
            await self.exchange()
            now = self._clock.monotonic()
            if now - last > _STOOD_STILL_SECONDS + _ANSWER_SECONDS:
                log.error("stood_still", seconds=round(now - last, 1))
                self._pair.broke_off()
            last = now
            self._measure()
            more = self._pair.heard and not self._pair.settled
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS / 10 if more else EVERY_SECONDS):
                    await self._woken.wait()

    async def first(self) -> Message | None:
        """Ask once, before this machine does anything: what happened while it was away? None: no answer."""
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                return await self._ask(self._pair.say())
        except TimeoutError:
            return None

    async def take(self, message: Message | None) -> None:
        """Take over what a first answer said, once the journal has been read."""
        self._pair.owe(unsettled(self._engine.book))
        if message is not None:
            await self._take(message)

    async def exchange(self) -> None:
        """Ask once and take over the answer."""
        answer = await self._ask(self._pair.say())
        if answer is not None:
            await self._take(answer)

    async def told(self) -> None:
        """Wait until the other machine knows what we know, but not for long: the desk comes first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TELL_SECONDS), self._exchanged:
                await self._exchanged.wait_for(lambda: self._pair.settled or not self._pair.heard)

    async def leave(self) -> None:
        """Say that this machine stops, so that the other need not find out."""
        if self._pair.heard:
            await self._ask(self._pair.say(leaving=True))

    async def answer(self, request: web.Request) -> web.Response:
        """Answer the other machine's question; anybody else's is a problem and changes nothing."""
        body = await read_body(request, MAX_BYTES)
        try:
            message = read(self._secret, request.headers, body, self._clock.now())
            new = self._pair.hear(message)
        except Refused as refusal:
            PEER_MESSAGES.labels("refused").inc()
            log.warning("peer_message_refused", code=refusal.code)
            raise Problem(refusal.status, refusal.code, refusal.text) from None
        await self._take(message, new=new)
        raw = write(self._pair.say(answers=message.name))
        return web.Response(body=raw, headers=headers(self._secret, raw, self._clock.now()))

    async def check(self) -> str | None:
        """Say what is wrong with the other machine; None when it is well."""
        if not self._pair.heard:
            return f"双机对端无联系：{self._pair.trouble or '无消息'}"
        other = self._pair.other
        return "双机对端已停止或停滞" if other is not None and (other.leaving or not other.well) else None

    async def _take(self, message: Message, *, new: bool = False) -> None:
        PEER_MESSAGES.labels("taken").inc()
        if new:
            self._pair.owe(unsettled(self._engine.book))
        unknown: Sequence[Shared] = await self._engine.receive(message.records) if message.records else ()
        self._pair.took(message)
        self._pair.owe(unknown)
        async with self._exchanged:
            self._exchanged.notify_all()

    async def _ask(self, message: Message) -> Message | None:
        """Send a message; return its answer, or None when there is none that can be trusted."""
        raw = write(message)
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                ) as http,
                http.post(
                    self._url,
                    data=raw,
                    headers=headers(self._secret, raw, self._clock.now()),
                    allow_redirects=False,
                ) as response,
            ):
                body = await response.content.read(MAX_BYTES + 1)
                while not response.content.at_eof() and len(body) <= MAX_BYTES:
                    body += await response.content.read(MAX_BYTES + 1)
            answer = self._read(response, body)
            if self._pair.hear(answer, answers=message.name):
                self._pair.owe(unsettled(self._engine.book))
        except Refused as refusal:
            self._pair.troubled(refusal.text)
        except TimeoutError:
            self._pair.troubled(f"{_ANSWER_SECONDS:g}秒内无应答")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._pair.troubled(f"不可达（{type(error).__name__}）")
        else:
            return answer
        PEER_MESSAGES.labels("unanswered").inc()
        async with self._exchanged:
            self._exchanged.notify_all()
        return None

    def _read(self, response: aiohttp.ClientResponse, body: bytes) -> Message:
        if response.status != HTTPStatus.OK:
            raise Refused(response.status, "refused", f"对端应答 {response.status}{_code(body)}")
        return read(self._secret, response.headers, body, self._clock.now())

    def _measure(self) -> None:
        heard = self._pair.heard
        PEER_UP.set(heard)
        PEER_FOLLOWED.set(self._pair.follows)
        if heard != self._was_heard:
            self._was_heard = heard
            if heard:
                log.warning("peer_heard")
            else:
                log.error("peer_silent", trouble=self._pair.trouble)


def _code(body: bytes) -> str:
    """Return the problem's code out of a refusal, when it has one of ours."""
    known = ("invalid_signature", "invalid_timestamp", "stale_message", "replayed_message", "own_message")
    return next((f"（{code}）" for code in (*known, "invalid_message") if code.encode() in body), "")
