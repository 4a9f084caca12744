"""Sending one feed item to the desk's own system, signed so that it can tell who sent it and when."""

import hashlib
import hmac
from urllib.parse import urlsplit

import aiohttp

from services.common.clock import Clock
from services.escalation.feed import Item

TIMEOUT_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 4096
_SUCCESS = range(200, 300)


class NotAccepted(Exception):
    """The desk's system did not take the item; the message says why, without what it answered."""


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of `X-Movecar-Signature`: HMAC-SHA256 over ``timestamp.body``."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


class DeskHttp:
    """A client of the push target. It follows no redirect: items go to the set address or nowhere."""

    def __init__(self, url: str, secret: str, clock: Clock, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._url = url
        self._secret = secret
        self._clock = clock
        self.host = urlsplit(url).hostname or ""

    def session(self, connections: int) -> aiohttp.ClientSession:
        """Return a client session for so many requests at once; the caller closes it."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout, connect=_CONNECT_SECONDS),
            auto_decompress=False,
        )

    async def post(self, http: aiohttp.ClientSession, item: Item) -> int:
        """Send an item; return the 2xx status it was taken with. Raises NotAccepted."""
        if not item.readable:
            raise NotAccepted("the item does not open with our key")
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "X-Movecar-Seq": str(item.seq),
            "X-Movecar-Timestamp": timestamp,
            "X-Movecar-Signature": sign(self._secret, timestamp, item.body),
        }
        try:
            async with http.post(
                self._url, data=item.body, headers=headers, allow_redirects=False
            ) as response:
                # The answer's text means nothing to us. A short one is read so that the connection can be
                # used again; of a long one no more than this, and its connection is dropped.
                await response.content.read(_MAX_ANSWER_BYTES)
        except TimeoutError:
            raise NotAccepted("timeout") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotAccepted(type(error).__name__) from error
        if response.status not in _SUCCESS:
            raise NotAccepted(f"status {response.status}")
        return response.status
