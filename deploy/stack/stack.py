"""The production shape on one machine: PostgreSQL, Redis, Asterisk and the three services, as processes."""

import asyncio
import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self, TypeVar

from deploy.asterisk.prompts import Voice, prompt_directory
from deploy.asterisk.render import DESK_CALLER_ID, DESK_NUMBER
from deploy.stack.asterisk import Asterisk
from deploy.stack.child import PartFailedError
from deploy.stack.owners import Owners
from deploy.stack.ports import LOOPBACK, free_port
from deploy.stack.postgres import Postgres
from deploy.stack.redis import Redis
from deploy.stack.seats import Seats
from deploy.stack.service import ServiceProcess, migrate
from deploy.stack.supervisor import Part, Supervisor
from services.common.ami.actions import ONE_TRUNK
from services.common.settings import MAIN_NODE

_P = TypeVar("_P", bound=Part)


def _free_address() -> str:
    return f"{LOOPBACK}:{free_port()}"


@dataclass(frozen=True)
class StackPlan:
    """What a stack is made of. Addresses are HOST:PORT; free ports unless given.

    trunk_uri: where calls go; None: to SIPp owners of its own, on `owners_port` if given.
    seats: operators who have a telephone (B7); where the owners are ours, the seats answer and hang up after
    talk_seconds.
    nodes: Asterisk nodes by name. trunks: ways to owners of our own by name, each with its own SIPp.
    scenarios: trunk → what its owners do, where not the usual. outbounds: how many processes place calls.
    await_trunk: whether the stack has started only when a call gets through; a trunk of somebody else's may
    be down for long, and the rest has to run meanwhile.
    environment: further settings of the services, with their prefix. durable=False: faster, for tests.
    """

    directory: Path
    listen: str = field(default_factory=_free_address)
    outbound_listen: str = field(default_factory=_free_address)
    escalation_listen: str = field(default_factory=_free_address)
    trunk_uri: str | None = None
    await_trunk: bool = True
    owners_port: int | None = None
    press_after: float = 3.0
    key_wait: int = 6
    seats: tuple[str, ...] = ("op1", "op2")
    talk_seconds: float = 45.0
    nodes: tuple[str, ...] = (MAIN_NODE,)
    trunks: tuple[str, ...] = (ONE_TRUNK,)
    scenarios: Mapping[str, str] = field(default_factory=dict)
    outbounds: int = 1
    voice: Voice = field(default_factory=Voice)
    environment: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True


class Stack:
    """A whole installation, below `plan.directory`. Its database and keys survive a restart.

    As an async context manager it is started and stopped with the block. Parts are named `postgres`, `redis`,
    `asterisk`, `owners` and `seats` (unless calls go elsewhere), `movecar`, `outbound`, `escalation`. Further
    ones are named after them: `asterisk-<node>`, `seats-<node>`, `owners-<trunk>`, `outbound-2` ….
    """

    def __init__(self, plan: StackPlan, report: Callable[[str], None] = lambda line: None) -> None:
        self.plan = plan
        self._report = report
        self._parts: dict[str, Part] = {}
        self._servers: list[str] = []
        self._services: list[str] = []
        self._supervisor = Supervisor(report)
        self._lock: IO[str] | None = None

    @property
    def url(self) -> str:
        """Where the API and the console are."""
        return f"http://{self.plan.listen}"

    @property
    def logs(self) -> Path:
        return self.plan.directory.absolute() / "logs"

    @property
    def parts(self) -> list[str]:
        """Names of the parts, in no particular order."""
        return list(self._parts)

    def lacks(self) -> str:
        """Return what keeps movecar from being ready; empty when nothing does."""
        return self._known("movecar", ServiceProcess).lacks()

    def part(self, name: str) -> Part:
        """Raises KeyError when the stack has no such part."""
        return self._parts[name]

    @property
    def postgres(self) -> Postgres:
        return self._known("postgres", Postgres)

    @property
    def redis(self) -> Redis:
        return self._known("redis", Redis)

    @property
    def asterisk(self) -> Asterisk:
        """The first node."""
        return self._known("asterisk", Asterisk)

    @property
    def nodes(self) -> dict[str, Asterisk]:
        """Every node by name."""
        return {
            name: self._known(part, Asterisk) for name, part in _named("asterisk", self.plan.nodes).items()
        }

    @property
    def owners(self) -> Owners:
        """Those that the first trunk leads to."""
        return self._known("owners", Owners)

    @property
    def trunks(self) -> dict[str, Owners]:
        """Every trunk to owners of our own, by name."""
        return {name: self._known(part, Owners) for name, part in _named("owners", self.plan.trunks).items()}

    @property
    def seats(self) -> Seats:
        return self._known("seats", Seats)

    @property
    def trunk_uri(self) -> str:
        return self.plan.trunk_uri or self.owners.uri

    def service(self, name: str) -> ServiceProcess:
        """`movecar`, `outbound` (`outbound-2` …) or `escalation`."""
        return self._known(name, ServiceProcess)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and return when a call can be placed (or could be, were it not for the trunk, when
        the plan does not await that); stops what had started when it fails.

        Raises PartMissingError, PartFailedError.
        """
        self._take_directory()
        try:
            await asyncio.to_thread(self._make_servers)
            environment = await self._start_servers()
            self._make_services(environment)
            self._spawn(self._services)
            await self._wait_for(self._services)
        except BaseException:
            await self.stop()
            raise
        for name, part in self._parts.items():
            self._supervisor.watch(name, part)

    async def stop(self) -> None:
        """Stop everything that runs: the services, then what they work with."""
        await self._supervisor.close()
        for names in (self._services, self._servers):
            parts = [self._parts[name] for name in names if name in self._parts]
            await asyncio.gather(*(asyncio.to_thread(part.stop) for part in parts))
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self, name: str) -> None:
        """SIGKILL a part as a crash would; it is started again after a short pause."""
        self.part(name).kill()

    async def take_down(self, name: str) -> None:
        """SIGKILL a part and leave it down until `bring_up`."""
        await self._supervisor.leave(name)
        await asyncio.to_thread(self.part(name).kill)

    async def bring_up(self, name: str) -> None:
        """Start a part that was taken down and return when it is ready."""
        self._spawn([name])
        await self._wait_for([name])
        self._supervisor.watch(name, self.part(name))

    async def _start_servers(self) -> dict[str, str]:
        """Start them, make the tables meanwhile, and return the services' environment."""
        self._spawn(self._servers)
        await self._wait_for(["postgres"])
        await asyncio.to_thread(self.postgres.ensure_database)
        environment = self.environment
        migration = asyncio.to_thread(migrate, environment, self.logs / "migrate.log")
        await asyncio.gather(migration, self._wait_for(self._servers))
        return environment

    def _spawn(self, names: Iterable[str]) -> None:
        for name in names:
            self._report(f"starting {name} ...")
            self.part(name).spawn()  # on this thread: children die with the thread that made them

    async def _wait_for(self, names: Iterable[str]) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.part(name).wait_ready) for name in names))

    def _known(self, name: str, kind: type[_P]) -> _P:
        part = self._parts.get(name)
        if not isinstance(part, kind):
            raise PartFailedError(f"this stack has no {name}, or was not started")
        return part

    def _take_directory(self) -> None:
        directory = self.plan.directory.absolute()
        for path in (directory, self.logs):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (directory / "stack.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise PartFailedError(f"a stack is already running in {directory}") from None

    def _make_servers(self) -> None:
        plan, directory = self.plan, self.plan.directory.absolute()
        if plan.trunk_uri is not None and len(plan.trunks) > 1:
            raise PartFailedError("several trunks lead to owners of our own only: give no trunk_uri")
        self._parts["postgres"] = Postgres(directory / "postgres", durable=plan.durable)
        self._parts["redis"] = Redis(directory / "redis")
        if plan.trunk_uri is None:
            for trunk, part in _named("owners", plan.trunks).items():
                port = plan.owners_port if trunk == plan.trunks[0] else None
                self._parts[part] = Owners(
                    directory / part,
                    port=port,
                    press_after=plan.press_after,
                    scenario=plan.scenarios.get(trunk, ""),
                )
        seats = tuple((name, secrets.token_hex(16)) for name in plan.seats)
        for node, part in _named("asterisk", plan.nodes).items():
            switch = self._parts[part] = self._make_switch(directory / part, node, seats)
            if plan.trunk_uri is None and seats:
                # not beside a trunk to real telephones: these seats would answer real owners
                seat_part = part.replace("asterisk", "seats")
                self._parts[seat_part] = Seats(directory / seat_part, switch.settings, talk=plan.talk_seconds)
        self._servers = list(self._parts)

    def _make_switch(self, directory: Path, node: str, seats: tuple[tuple[str, str], ...]) -> Asterisk:
        plan, given = self.plan, self._given()
        first = node == plan.nodes[0]
        return Asterisk(
            directory,
            prompts=prompt_directory(plan.voice),
            trunk_uri=self.trunk_uri,
            trunks=tuple((name, owners.uri) for name, owners in self._own_trunks().items()),
            key_wait=plan.key_wait,
            # a net under the services' own limit (30 unless given), far enough away never to act first
            max_calls=2 * int(given.get("MOVECAR_MAX_CONCURRENT_CALLS") or 30),
            desk_number=given.get("MOVECAR_DESK_PHONE", DESK_NUMBER).replace("-", ""),
            desk_caller_id=given.get("MOVECAR_DESK_CALLER_ID", DESK_CALLER_ID),
            seats=seats,
            shared_spool=None if first else self.asterisk.settings.recordings,
        )

    def _own_trunks(self) -> dict[str, Owners]:
        """None when calls go where `trunk_uri` says, or when the one trunk needs no list."""
        return self.trunks if self.plan.trunk_uri is None and self.plan.trunks != (ONE_TRUNK,) else {}

    def _make_services(self, environment: Mapping[str, str]) -> None:
        listens = {"escalation": self.plan.escalation_listen}
        for number in range(1, self.plan.outbounds + 1):
            name = "outbound" if number == 1 else f"outbound-{number}"
            listens[name] = self.plan.outbound_listen if number == 1 else _free_address()
        listens["movecar"] = self.plan.listen
        for name, listen in listens.items():
            # movecar's readiness includes its neighbours, and outbound's the trunk
            path = "/readyz" if name == "movecar" and self.plan.await_trunk else "/livez"
            log = self.logs / f"{name}.log"
            own = {}
            if name.startswith("outbound-"):
                own = {"MOVECAR_OUTBOUND_LISTEN": listen, "MOVECAR_INSTANCE": name.partition("-")[2]}
            self._parts[name] = ServiceProcess(name, listen, {**environment, **own}, log, path)
        self._services = list(listens)

    def _given(self) -> dict[str, str]:
        return {**os.environ, **self.plan.environment}

    @property
    def environment(self) -> dict[str, str]:
        """Settings of the services, once the servers are made; what the stack decides wins over the given."""
        directory, switch = self.plan.directory.absolute(), self.asterisk.settings
        given = self._given()
        return given | {
            "MOVECAR_LISTEN": self.plan.listen,
            "MOVECAR_OUTBOUND_LISTEN": self.plan.outbound_listen,
            "MOVECAR_ESCALATION_LISTEN": self.plan.escalation_listen,
            "MOVECAR_DATABASE_URL": self.postgres.url(),
            "MOVECAR_REDIS_URL": self.redis.url(),
            "MOVECAR_DATA_DIR": str(directory),
            "MOVECAR_SECRET_KEY": given.get("MOVECAR_SECRET_KEY") or kept_secret(directory / "secret_key"),
            "MOVECAR_PBX": "asterisk",
            "MOVECAR_AMI_HOST": switch.ami_host,
            "MOVECAR_AMI_PORT": str(switch.ami_port),
            "MOVECAR_AMI_USER": switch.ami_user,
            "MOVECAR_AMI_SECRET": switch.ami_secret,
            "MOVECAR_TRUNK_URI": self.trunk_uri,
            "MOVECAR_PROMPTS_DIR": str(self.asterisk.prompts),
            "MOVECAR_CALL_RECORDS": ",".join(
                f"{node}={asterisk.call_records}" for node, asterisk in self.nodes.items()
            ),
            "MOVECAR_RECORDING_SPOOL": str(switch.recordings),
            **self._several(),
        }

    def _several(self) -> dict[str, str]:
        """Settings that list nodes and trunks, where there is more than the one that others describe."""
        more = {}
        if self.plan.nodes != (MAIN_NODE,):
            nodes = {node: asterisk.settings for node, asterisk in self.nodes.items()}
            more["MOVECAR_PBX_NODES"] = json.dumps(
                [
                    {
                        "name": node,
                        "host": switch.ami_host,
                        "port": switch.ami_port,
                        "user": switch.ami_user,
                        "secret": switch.ami_secret,
                    }
                    for node, switch in nodes.items()
                ]
            )
        if trunks := self._own_trunks():
            more["MOVECAR_TRUNKS"] = json.dumps(
                [{"name": name, "uri": owners.uri} for name, owners in trunks.items()]
            )
        return more


def _named(kind: str, names: Sequence[str]) -> dict[str, str]:
    """Name → part: the first is called by its kind alone."""
    return {name: kind if name == names[0] else f"{kind}-{name}" for name in names}


def kept_secret(path: Path, length: int = 48) -> str:
    """A random secret kept in this file, made when there is none; only its owner can read it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text("ascii").strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(length))
    return path.read_text("ascii").strip()
