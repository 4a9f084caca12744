"""The composition root: the caller wired to Asterisk, or to a PBX that rings no one."""

import ssl
from pathlib import Path

import structlog

from services.common import tally
from services.common.ami import Address, AmiLink
from services.common.events import SessionEnded
from services.common.evidence import endpoint
from services.common.http.ended_sessions import EndedSessions
from services.common.service import Kernel, Service
from services.common.settings import MAIN_NODE
from services.common.switches import AsteriskNode, SandboxLogin
from services.common.vault import Vault
from services.outbound.calls import EVENT_NAMES
from services.outbound.engine import Engine
from services.outbound.evidence.app import Evidence
from services.outbound.pbx import EveryNode, Pbx
from services.outbound.recordings.catalogue import Catalogue
from services.outbound.recordings.collector import Collector as RecordingCollector
from services.outbound.recordings.keeper import Keeper
from services.outbound.recordings.spool import Spool
from services.outbound.sandbox import SandboxPbx
from services.outbound.scripts.api import ScriptsApi
from services.outbound.tally import CallCount, CallTally
from services.outbound.trunk_api import TrunkApi

log = structlog.get_logger(__name__)

NAME = "outbound"


def build(kernel: Kernel) -> Service:
    """Wire the service; nothing is connected or started."""
    settings = kernel.settings
    sandbox = _sandbox(kernel) if settings.pbx == "sandbox" else None
    registered = {trunk.client_uri: trunk.name for trunk in settings.all_trunks if trunk.client_uri}
    nodes = (
        {MAIN_NODE: Pbx(_sandbox_link(kernel.sandbox))}
        if sandbox
        else {node.name: Pbx(_asterisk_link(node), registered) for node in settings.asterisk_nodes}
    )
    engine = Engine(settings, kernel.clock, kernel.keys, kernel.database, nodes)
    scripts = ScriptsApi(
        kernel.database, kernel.clock, kernel.keys, engine.scripts, EveryNode(nodes), engine.audible
    )

    evidence = Evidence.of(kernel)
    collectors = dict(evidence.tasks)
    if settings.spool is not None:
        collectors["recordings"] = _recordings(kernel, settings.spool).run
    else:
        log.warning("recordings_not_collected")

    count = CallCount(kernel.database, recorded=settings.spool is not None)
    sessions = EndedSessions(NAME, kernel.database, kernel.tokens, kernel.clock)

    async def start() -> None:
        await sessions.start()
        if sandbox is not None:
            await sandbox.start()
            kernel.sandbox.port = sandbox.port

    async def close() -> None:
        await engine.close()
        if sandbox is not None:
            await sandbox.stop()

    return Service(
        name=NAME,
        endpoints=[
            *evidence.endpoints,
            *scripts.endpoints,
            *TrunkApi(settings.instance, engine.switchboard, engine.lines).endpoints,
            endpoint(NAME, evidence.clauses, kernel.clock),
            tally.endpoint(
                NAME, "Count what happened to calls in a span of time", count, CallTally, kernel.clock
            ),
        ],
        handlers={**engine.handlers, SessionEnded: sessions.note},
        tasks={**engine.tasks, **collectors, "sessions": sessions.refresh},
        checks={"pbx": engine.check, "trunk": engine.check_trunk, "prompts": engine.check_prompts},
        warnings={
            "trunks_out": engine.trunks_out,
            "calls": engine.failing.some,
            "calls_stopped": engine.failing.all,
        },
        evidence=evidence.clauses,
        tally=count,
        start=start,
        close=close,
    )


def _recordings(kernel: Kernel, spool: Path) -> RecordingCollector:
    vault = Vault(kernel.keys.derive("recordings"))
    return RecordingCollector(
        kernel.database,
        kernel.clock,
        Catalogue(kernel.keys),
        Keeper(vault, kernel.settings.recordings),
        Spool(spool),
    )


def _sandbox(kernel: Kernel) -> SandboxPbx:
    login, settings = kernel.sandbox, kernel.settings
    return SandboxPbx(
        login.user,
        login.secret,
        kernel.clock,
        host=login.host,
        port=login.port,
        speed=settings.sandbox_speed,
        call_records=next(iter(settings.call_record_files.values())),
        spool=settings.spool,
        desk_number=settings.desk_phone.replace("-", ""),
    )


def _sandbox_link(login: SandboxLogin) -> AmiLink:
    return AmiLink(lambda: Address(login.host, login.port), login.user, login.secret, wanted=EVENT_NAMES)


def _asterisk_link(node: AsteriskNode) -> AmiLink:
    tls = ssl.create_default_context() if node.tls else None
    return AmiLink(
        Address(node.host, node.port, tls),
        node.user,
        node.secret.get_secret_value(),
        wanted=EVENT_NAMES,
    )
