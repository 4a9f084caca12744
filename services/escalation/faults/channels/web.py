"""Channels over HTTP: the push to the desk's own system, and a text message through a gateway."""

import aiohttp
import orjson

from services.common.clock import Clock
from services.escalation.desk_http import sign
from services.escalation.faults.channels.contract import NotDelivered
from services.escalation.faults.notices import Notice
from services.escalation.faults.records import Audience

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=5.0)
_MAX_ANSWER_BYTES = 2048
_SHOWN_ANSWER = 200
_SUCCESS = range(200, 300)


async def _post(url: str, body: bytes, headers: dict[str, str]) -> str:
    """Send; return status and the beginning of the answer. Raises NotDelivered."""
    # A session for each: notices are rare, and a connection kept for days is one that died unnoticed.
    try:
        async with (
            aiohttp.ClientSession(
                timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            ) as http,
            http.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            raw = await response.content.read(_MAX_ANSWER_BYTES)
    except TimeoutError:
        raise NotDelivered("timeout") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotDelivered(type(error).__name__) from error
    if response.status not in _SUCCESS:
        raise NotDelivered(f"status {response.status}")
    said = "".join(one for one in raw.decode(errors="replace") if one.isprintable())
    return f"HTTP {response.status} {said[:_SHOWN_ANSWER]}".strip()


class PushChannel:
    """Straight to the desk's system, signed as feed items are, without the feed: the database may be down.

    `X-Movecar-Seq` is 0: the notice has no number in the feed. Its `id` is the same there, so that a desk
    that reads both ways drops the double.
    """

    def __init__(self, name: str, audience: Audience, url: str, secret: str, clock: Clock) -> None:
        self.name, self.audience = name, audience
        self._url, self._secret, self._clock = url, secret, clock

    async def deliver(self, notice: Notice) -> tuple[str, str]:
        """Send; the system's 2xx is the proof."""
        body = notice.item()
        stamp = str(int(self._clock.now().timestamp()))
        answer = await _post(
            self._url,
            body,
            {
                "Content-Type": "application/json",
                "X-Movecar-Seq": "0",
                "X-Movecar-Timestamp": stamp,
                "X-Movecar-Signature": sign(self._secret, stamp, body),
            },
        )
        return "desk system", answer

    async def close(self) -> None:
        """Hold nothing open."""


class SmsChannel:
    """A text message through any gateway that takes JSON: `{"to", "text", "id"}` with a bearer token."""

    def __init__(self, name: str, audience: Audience, url: str, token: str, number: str) -> None:
        self.name, self.audience = name, audience
        self._url, self._token, self._number = url, token, number

    async def deliver(self, notice: Notice) -> tuple[str, str]:
        """Send; the gateway's 2xx is the proof that it has the message."""
        body = orjson.dumps({"to": self._number, "text": notice.text, "id": notice.id})
        headers = {"Content-Type": "application/json", "Idempotency-Key": notice.id}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        answer = await _post(self._url, body, headers)
        return f"SMS …{self._number[-4:]}", answer

    async def close(self) -> None:
        """Hold nothing open."""
