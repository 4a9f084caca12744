"""The HTTP server: request log and metrics, problems for everything that goes wrong, limits, shutdown."""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web
from aiohttp.hdrs import METH_ALL

from services.common.database import is_outage
from services.common.http.endpoint import MAX_BODY_BYTES
from services.common.http.problems import Problem
from services.common.ids import new_id
from services.common.metrics import HTTP_REQUESTS, HTTP_SECONDS

log = structlog.get_logger(__name__)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "movecar",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
}
_TITLES = {404: "没有此路径", 405: "此路径不支持该方法", 413: "请求正文过大"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure as a problem document; what we did not foresee is logged and is a 500."""
    started = time.perf_counter()
    response: web.StreamResponse
    try:
        response = await handler(request)
    except Problem as problem:
        response = problem.response()
    except web.HTTPException as error:
        if error.status < 400:  # noqa: PLR2004
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        response = Problem(
            error.status, _code(error.reason), _TITLES.get(error.status, error.reason), headers=allow
        ).response()
    except Exception as error:
        if is_outage(error):
            log.warning("request_refused_in_outage", path=_route(request), error=repr(error))
            response = Problem(
                503, "temporarily_unavailable", "系统暂时不可用，请稍后重试", headers={"Retry-After": "2"}
            ).response()
        else:
            instance = new_id()
            log.exception("request_failed", path=_route(request), instance=instance)
            response = Problem(
                500, "internal_error", "系统内部错误", instance=f"urn:uuid:{instance}"
            ).response()
    method = request.method if request.method in METH_ALL else "OTHER"
    HTTP_REQUESTS.labels(method, _route(request), str(response.status)).inc()
    HTTP_SECONDS.labels(_route(request)).observe(time.perf_counter() - started)
    return response


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers before anything is sent."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def make_application(routes: Sequence[web.AbstractRouteDef]) -> web.Application:
    """Return the aiohttp application that serves these routes."""
    application = web.Application(middlewares=[problems_middleware], client_max_size=MAX_BODY_BYTES)
    application.on_response_prepare.append(add_headers)
    application.add_routes(routes)
    return application


class HttpServer:
    """One listening socket."""

    def __init__(self, application: web.Application, listen: str) -> None:
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)

    async def start(self) -> str:
        """Listen; return the address as HOST:PORT (the port that was given, for port 0)."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        return f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}"

    async def close(self) -> None:
        """Stop listening and end open requests."""
        await self._runner.cleanup()


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def _code(reason: str) -> str:
    return reason.lower().replace(" ", "_")
