"""One address for everything: what the other two services answer is forwarded to them.

With the services in separate processes the desk's calls still arrive where operators' do; the desk can also
go to the escalation service directly, and does so when this one is down.
"""

import contextlib
import io
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp import web

from services.common.http.endpoint import API
from services.common.http.inputs import MAX_BODY_BYTES, read_body
from services.common.http.problems import Problem

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "content-encoding",
        "date",
        "server",
    }
)

_WHO = ("Authorization", "Cookie")
_ASK_SECONDS = 5.0


class Gateway:
    """A neighbour at `address` (HOST:PORT); API paths that begin with one of `forwarded` go there.

    `away` is the problem's code and title while it does not answer.
    """

    def __init__(
        self,
        address: str,
        forwarded: Sequence[str],
        away: tuple[str, str],
        max_body: int = MAX_BODY_BYTES,
    ) -> None:
        self._forwarded = forwarded
        self._max_body = max_body
        self._away = away
        self._base = f"http://{address}"
        self._client: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the client."""
        self._client = aiohttp.ClientSession(
            # A long poll or a live stream is silent for long; only connecting has a limit.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=2),
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the client and with it every forwarded stream."""
        if self._client is not None:
            await self._client.close()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes that are forwarded."""
        return [
            route
            for prefix in self._forwarded
            for route in (
                web.route("*", f"{API}/{prefix}", self._forward),
                web.route("*", f"{API}/{prefix}/{{rest:.*}}", self._forward),
            )
        ]

    async def check(self) -> str | None:
        """Tell whether the neighbour is ready."""
        async with self._get("/readyz") as response:
            if response.status == HTTPStatus.OK:
                return None
            return "; ".join((await response.json()).get("problems", {})) or f"answers {response.status}"

    async def openapi(self) -> list[dict[str, Any]]:
        """Return the forwarded service's OpenAPI document; none while it is away."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._get(f"{API}/openapi.json") as response:
                return [await response.json()]
        return []

    async def ask(self, path: str, request: web.Request) -> bytes:
        """Return what the neighbour answers to a GET in the name of whoever sent `request`.

        Raises aiohttp.ClientError or TimeoutError when it does not answer, or not with 200.
        """
        who = {name: request.headers[name] for name in _WHO if name in request.headers}
        timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
        async with self._open().get(
            f"{self._base}{API}{path}", headers=who, timeout=timeout, raise_for_status=True
        ) as response:
            return await response.read()

    def _get(self, path: str) -> Any:
        return self._open().get(self._base + path, timeout=aiohttp.ClientTimeout(total=2))

    def _open(self) -> aiohttp.ClientSession:
        if self._client is None:
            raise RuntimeError("the gateway was not started")
        return self._client

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, self._max_body)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            async with self._open().request(
                request.method,
                self._base + request.rel_url.raw_path_qs,
                headers=headers,
                data=io.BytesIO(body) if body else None,  # large ones in pieces
                allow_redirects=False,
            ) as upstream:
                return await _relay(request, upstream)
        except (TimeoutError, aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError):
            raise Problem(503, *self._away, headers={"Retry-After": "2"}) from None


async def _relay(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = {name: value for name, value in upstream.headers.items() if name.lower() not in _HOP_BY_HOP}
    if upstream.content_type != "text/event-stream":
        return web.Response(status=upstream.status, headers=headers, body=await upstream.read())
    response = web.StreamResponse(status=upstream.status, headers=headers)
    await response.prepare(request)
    with contextlib.suppress(aiohttp.ClientError, ConnectionResetError):
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
    return response
