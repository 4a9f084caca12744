"""The feed as a live stream (server-sent events): `id` is the number, `event` the type, `data` the item."""

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from services.common.database import is_outage
from services.common.http.auth import Tokens
from services.common.http.problems import Problem
from services.common.metrics import STREAM_READERS
from services.escalation.tail import Tail

log = structlog.get_logger(__name__)

_BATCH = 200
_PING_SECONDS = 10.0
_SEND_TIMEOUT = 30.0
_RECONNECT_MS = 1000


class FeedStream:
    """Serves one reader until it leaves, its session ends, or it stops taking what is sent."""

    def __init__(self, tail: Tail, tokens: Tokens) -> None:
        self._tail = tail
        self._tokens = tokens

    async def serve(self, request: web.Request, after: int) -> web.StreamResponse:
        """Send every item after a number, for ever. The reader goes on elsewhere with the last id it saw."""
        with STREAM_READERS.labels("feed").track_inprogress():
            async with sse_response(
                request, ping_interval=_PING_SECONDS, send_timeout=_SEND_TIMEOUT
            ) as response:
                try:
                    await response.write(b"retry: %d\r\n\r\n" % _RECONNECT_MS)
                    await self._send(request, response, after)
                except (ConnectionError, TimeoutError):
                    log.info("feed_reader_gone", peer=request.remote)
                except Problem:
                    log.info("feed_reader_logged_out", peer=request.remote)
                except Exception as error:
                    # The answer has begun: ending it is all that can be said; the reader comes back.
                    if not is_outage(error):
                        log.exception("feed_stream_failed")
        return response

    async def _send(self, request: web.Request, response: EventSourceResponse, after: int) -> None:
        while response.is_connected() and not self._tail.closed:
            items = await self._tail.after(after, _BATCH, _PING_SECONDS)
            self._tokens.authenticate(request)
            for item in items:
                await response.send(item.body.decode(), id=str(item.seq), event=item.type)
                after = item.seq
