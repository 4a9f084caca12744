"""A numbered table as a live stream (server-sent events); a reader resumes after the last id it saw."""

import asyncio
import re
from collections.abc import Callable
from typing import Generic

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from services.common.database import is_outage
from services.common.http.auth import Tokens
from services.common.http.problems import Problem, invalid
from services.common.metrics import STREAM_READERS
from services.common.tail import ItemT, Tail

log = structlog.get_logger(__name__)

_BATCH = 200
_PING_SECONDS = 10.0
_SEND_TIMEOUT = 30.0
_RECONNECT_MS = 1000
_POSITION = re.compile(r"\A[0-9]{1,18}\Z")


def frame(seq: int, event: str, json: bytes) -> bytes:
    """Return a JSON document as it is sent to every reader: made once, however many there are."""
    return b"id: %d\r\nevent: %b\r\ndata: %b\r\n\r\n" % (seq, event.encode(), json)


class LiveStream(Generic[ItemT]):
    """Serves readers of one tail, each until it leaves, its session ends, or it stops taking what is sent.

    `name` is the stream's in the metrics.
    """

    def __init__(self, name: str, tail: Tail[ItemT], tokens: Tokens) -> None:
        self._name = name
        self._tail = tail
        self._tokens = tokens

    async def start_of(self, request: web.Request, after: int | None) -> int:
        """Return where a reader begins: `Last-Event-ID`, else `after`, else now.

        Raises Problem 422 for a number that was never given out.
        """
        newest = await self._tail.newest()
        last_id = request.headers.get("Last-Event-ID", "")
        if last_id:
            if not _POSITION.match(last_id):
                raise invalid("Last-Event-ID", "应为之前收到的事件编号")
            return self._reached(int(last_id), newest, "Last-Event-ID")
        return newest if after is None else self._reached(after, newest, "after")

    @staticmethod
    def _reached(seq: int, newest: int, field: str) -> int:
        if seq > newest:
            raise invalid(field, f"该序号尚未产生，目前最新为 {newest}")
        return seq

    async def serve(
        self,
        request: web.Request,
        after: int,
        framed: Callable[[ItemT], bytes],
        reached: Callable[[int], None] = lambda _: None,
    ) -> web.StreamResponse:
        """Send what `framed` returns of every item after a number, for ever; empty sends nothing.

        `reached` is called with the number up to which everything was sent before, whenever more follows.
        """
        with STREAM_READERS.labels(self._name).track_inprogress():
            async with sse_response(
                request, ping_interval=_PING_SECONDS, send_timeout=_SEND_TIMEOUT
            ) as response:
                try:
                    await response.write(b"retry: %d\r\n\r\n" % _RECONNECT_MS)
                    await self._send(request, response, after, framed, reached)
                except (ConnectionError, TimeoutError):
                    log.info("stream_reader_gone", stream=self._name, peer=request.remote)
                except Problem:
                    log.info("stream_reader_logged_out", stream=self._name, peer=request.remote)
                except Exception as error:
                    # The answer has begun: ending it is all that can be said; the reader comes back.
                    if not is_outage(error):
                        log.exception("stream_failed", stream=self._name)
        return response

    async def _send(
        self,
        request: web.Request,
        response: EventSourceResponse,
        after: int,
        framed: Callable[[ItemT], bytes],
        reached: Callable[[int], None],
    ) -> None:
        while response.is_connected() and not self._tail.closed:
            items = await self._tail.after(after, _BATCH, _PING_SECONDS)
            self._tokens.authenticate(request)
            if not items:
                continue
            reached(after)
            if frames := b"".join(map(framed, items)):
                try:
                    async with asyncio.timeout(_SEND_TIMEOUT):
                        await response.write(frames)
                except TimeoutError:
                    if request.transport is not None:
                        request.transport.abort()  # or the end of the answer would wait for it, too
                    raise
            after = items[-1].seq
