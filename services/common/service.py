"""What a service is made of, and the process around one or several of them."""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.common.bus import Bus, Consumer, Handler, LocalBus, RedisBus, Relay, Upkeep
from services.common.clock import Clock, SystemClock
from services.common.crypto import Keys
from services.common.database import Database
from services.common.events import Event
from services.common.evidence import Source
from services.common.http.auth import Tokens
from services.common.http.endpoint import API, Boundary, Endpoint
from services.common.http.openapi import make_openapi, render_docs
from services.common.http.server import HttpServer, make_application
from services.common.settings import Settings
from services.common.switches import SandboxLogin
from services.common.tally import Tally
from services.common.tasks import Tasks

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 3.0

Check = Callable[[], Awaitable[str | None]]
"""A readiness check: None when well, otherwise what is wrong."""


async def _nothing() -> None:
    """Start or close what needs neither."""


@dataclass(frozen=True)
class Kernel:
    """What every service is given. One process has one, shared by the services it runs."""

    settings: Settings
    clock: Clock
    keys: Keys
    database: Database
    bus: Bus
    relay: Relay
    tokens: Tokens
    sandbox: SandboxLogin
    """Of the sandbox PBX, where there is one: both who calls owners and who calls the desk log in to it."""
    checks: dict[str, Check] = field(default_factory=dict)
    """The readiness checks of the services in this process, once it is wired."""
    warnings: dict[str, Check] = field(default_factory=dict)
    """Their warnings."""
    evidence: dict[str, Source] = field(default_factory=dict)
    """What they can prove, by clause of the contract."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """What they count of a span of time, by service."""

    @classmethod
    def build(cls, settings: Settings, clock: Clock | None = None) -> "Kernel":
        """Wire the kernel; nothing is connected or started."""
        clock = clock or SystemClock()
        keys = Keys.from_secret(settings.root_secret())
        database = Database(settings.database)
        bus: Bus = (
            RedisBus(settings.redis_url, settings.instance) if settings.redis_url else LocalBus(database)
        )
        return cls(
            settings,
            clock,
            keys,
            database,
            bus,
            Relay(database, bus, clock),
            Tokens(keys, clock),
            _sandbox_login(settings),
        )


def _sandbox_login(settings: Settings) -> SandboxLogin:
    if settings.ami_user and settings.has_ami_secret:  # so that any AMI client can be tried on it
        secret = settings.ami_secret.get_secret_value()
        return SandboxLogin(settings.ami_host, settings.ami_port, settings.ami_user, secret)
    return SandboxLogin("127.0.0.1", 0, "movecar", secrets.token_hex(16))


@dataclass
class Service:
    """One of the three services, built and not started."""

    name: str
    endpoints: Sequence[Endpoint] = ()
    routes: Sequence[web.AbstractRouteDef] = ()
    handlers: Mapping[type[Event], Handler] = field(default_factory=dict)
    tasks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    independent_tasks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """Work that runs also while the main database is away at the start; see `Process.start`."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    warnings: Mapping[str, Check] = field(default_factory=dict)
    """What is not well though cases are taken and calls placed: `/readyz` names it and stays 200."""
    evidence: Mapping[str, Source] = field(default_factory=dict)
    """What can be proved of the contract's clauses, for the board (D6)."""
    tally: Tally | None = None
    """What it counts of a span of time, where it does."""
    start: Callable[[], Awaitable[None]] = _nothing
    drain: Callable[[], Awaitable[None]] = _nothing
    """Lets go of requests that wait or stream, so that the server can stop."""
    close: Callable[[], Awaitable[None]] = _nothing
    remote_openapi: Callable[[], Awaitable[list[dict[str, Any]]]] | None = None


class Process:
    """A running process: the services' endpoints on one address, their handlers and tasks."""

    def __init__(
        self,
        kernel: Kernel,
        services: Sequence[Service],
        listen: str,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`prepare` waits for the main database; until it returns, only what is independent of it works."""
        self.kernel = kernel
        self._prepare = prepare
        self._prepared = prepare is None
        self.services = services
        self.endpoints = [endpoint for service in services for endpoint in service.endpoints]
        self._document = make_openapi(self.endpoints)
        boundary = Boundary(kernel.database, kernel.tokens, kernel.keys, kernel.clock)
        # Declared endpoints come before a service's catch-all routes (the console's files, the gateway).
        routes: list[web.AbstractRouteDef] = [
            boundary.route(endpoint, self._open) for endpoint in self.endpoints
        ]
        routes += [
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            web.get("/metrics", self._metrics),
            web.get(f"{API}/openapi.json", self._openapi),
            web.get("/docs", self._docs),
        ]
        routes += [route for service in services for route in service.routes]
        self._server = HttpServer(make_application(routes), listen)
        self._tasks = Tasks(kernel.clock)
        self._preparing: asyncio.Task[None] | None = None
        self.address = ""
        for service in services:
            kernel.checks.update(service.checks)
            kernel.warnings.update(service.warnings)
            kernel.evidence.update(service.evidence)
            if service.tally is not None:
                kernel.tallies[service.name] = service.tally

    async def start(self) -> None:
        """Start the services, then their consumers and tasks, then listen.

        With `prepare` the process listens at once; what needs the main database starts when that is there.
        """
        for service in self.services:
            await service.start()
            for name, work in service.independent_tasks.items():
                self._tasks.start(f"{service.name}.{name}", work)
        if self._prepare is None:
            self._start_tasks()
        else:
            self._preparing = asyncio.create_task(self._when_prepared(self._prepare))
        self.address = await self._server.start()
        log.info("listening", address=self.address, services=[service.name for service in self.services])

    async def _when_prepared(self, prepare: Callable[[], Awaitable[None]]) -> None:
        await prepare()
        self._prepared = True
        self._start_tasks()

    def _open(self) -> bool:
        return self._prepared

    def _start_tasks(self) -> None:
        self._tasks.start("relay", self.kernel.relay.run)
        self._tasks.start("upkeep", Upkeep(self.kernel.database, self.kernel.clock).run)
        for service in self.services:
            consumer = Consumer(
                service.name, service.handlers, self.kernel.database, self.kernel.bus, self.kernel.clock
            )
            self._tasks.start(f"{service.name}.consumer", consumer.run)
            for name, work in service.tasks.items():
                self._tasks.start(f"{service.name}.{name}", work)

    async def close(self) -> None:
        """Stop taking requests, then stop the work, then let go of what is held."""
        for service in self.services:
            await service.drain()
        await self._server.close()
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self._tasks.close()
        for service in reversed(self.services):
            await service.close()
        await self.kernel.bus.close()
        await self.kernel.database.close()

    async def problems(self) -> dict[str, str]:
        """Return what keeps this process from taking a case and placing a call, by part."""
        checks: dict[str, Check] = {"database": self._check_database, "bus": self._check_bus}
        if not self._prepared:
            checks["schema"] = _unprepared
        for service in self.services:
            checks |= service.checks
        return await _ask(checks)

    async def warnings(self) -> dict[str, str]:
        """Return what is not well though this process takes cases and places calls, by part."""
        return await _ask({name: check for one in self.services for name, check in one.warnings.items()})

    async def _check_database(self) -> str | None:
        await self.kernel.database.ping()
        return None

    async def _check_bus(self) -> str | None:
        await self.kernel.bus.ping()
        return None

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _: web.Request) -> web.Response:
        problems, warnings = await asyncio.gather(self.problems(), self.warnings())
        body = {"status": "not ready" if problems else "ready", "problems": problems, "warnings": warnings}
        return web.json_response(body, status=503 if problems else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(await self.document())

    async def _docs(self, _: web.Request) -> web.Response:
        return web.Response(text=render_docs(await self.document()), content_type="text/html")

    async def document(self) -> dict[str, Any]:
        """Return the OpenAPI document of all that this address serves, forwarded paths included."""
        paths = dict(self._document["paths"])
        schemas = dict(self._document["components"]["schemas"])
        for service in self.services:
            for other in await service.remote_openapi() if service.remote_openapi else []:
                paths |= {path: item for path, item in other["paths"].items() if path not in paths}
                schemas |= other["components"]["schemas"]
        return self._document | {
            "paths": paths,
            "components": self._document["components"] | {"schemas": schemas},
        }


async def _ask(checks: Mapping[str, Check]) -> dict[str, str]:
    found = await asyncio.gather(*(_bounded(check) for check in checks.values()))
    return {name: problem for name, problem in zip(checks, found, strict=True) if problem}


async def _unprepared() -> str | None:
    return "the database was not there, or not at the revision this version needs, when the process started"


async def _bounded(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS:g} s"
    except Exception as error:
        return f"{type(error).__name__}"


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    """Run a process for the length of a block; what had started is closed when the start fails half-way."""
    try:
        await process.start()
        yield process
    finally:
        await process.close()


async def run_until_signalled(process: Process, on_ready: Callable[[], None] | None = None) -> None:
    """Run a process until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with running(process):
        if on_ready is not None:
            on_ready()
        await stop.wait()
        log.info("stopping")
