"""The desk's own system as a real HTTP server: checks every signature, and behaves as badly as it is told."""

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

SECRET = "desk-secret"


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    seq: int
    body: bytes
    at: float

    @property
    def item(self) -> Any:
        return json.loads(self.body)

    @property
    def escalation(self) -> str:
        return str(self.item["data"]["escalation_id"])


Behaviour = Callable[[web.Request, Received, int], Awaitable[web.StreamResponse]]


async def take(_: web.Request, __: Received, ___: int) -> web.StreamResponse:
    return web.Response(status=204)


class Receiver:
    """`behave(request, received, nth)` answers; `nth` counts the requests for the same item from 1."""

    def __init__(self) -> None:
        self.behave: Behaviour = take
        self.requests: list[Received] = []
        self.taken: list[Received] = []
        self.elsewhere = 0
        self.most_at_once = 0
        self.port = 0
        self._at_once = 0
        self._seen: Counter[int] = Counter()
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/push"

    @property
    def settings(self) -> dict[str, str]:
        return {"desk_push_url": self.url, "desk_push_secret": SECRET}

    async def start(self) -> None:
        """Listen; after a stop, on the same port."""
        application = web.Application()
        application.router.add_post("/push", self._push)
        application.router.add_route("*", "/{path:.*}", self._else)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _else(self, _: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response()

    async def _push(self, request: web.Request) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(request)
        finally:
            self._at_once -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        stamp = request.headers["X-Movecar-Timestamp"]
        signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        assert request.headers["X-Movecar-Signature"] == f"sha256={signed}"
        assert abs(int(stamp) - time.time()) < 5
        assert request.content_type == "application/json"
        received = Received(int(request.headers["X-Movecar-Seq"]), body, time.monotonic())
        assert received.item["seq"] == received.seq
        self._seen[received.seq] += 1
        self.requests.append(received)
        await self._tell()
        response = await self.behave(request, received, self._seen[received.seq])
        if 200 <= response.status < 300:
            self.taken.append(received)
            await self._tell()
        return response

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until a condition on what came in holds."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(true)

    async def until_taken(self, count: int, seconds: float = 60) -> None:
        await self.until(lambda: len({received.seq for received in self.taken}) >= count, seconds)

    def order_of(self, escalation: str) -> list[int]:
        """The numbers of an escalation's items in the order they were taken."""
        return [received.seq for received in self.taken if received.escalation == escalation]
