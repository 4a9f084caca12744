"""All probes of this installation, asked at once."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.common.clock import Clock
from services.common.service import Kernel
from services.common.settings import Settings
from services.escalation.faults.detection.certificates import NAMES, CertificateProbe, places
from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.detection.probes import (
    GOOD,
    LIVE_SECONDS,
    PING_SECONDS,
    READY_SECONDS,
    DatabaseProbe,
    DiskProbe,
    ManagerProbe,
    Probe,
    ProcessProbe,
    RedisProbe,
    bounded,
    merge,
    parts_seen,
    unseen,
)

_SEEN_BY_OUTBOUND = ("pbx", "trunk", "trunks_out", "calls", "calls_stopped")
_SEEN_BY_MOVECAR = ("registry", "operators")


@dataclass(frozen=True, slots=True)
class _Asked:
    probe: Probe
    names: tuple[str, ...]
    seconds: float


class Lookout:
    """Looks at every part; which there are is known once the process is wired (`start`)."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._asked: list[_Asked] = []
        self._closing: list[DatabaseProbe | RedisProbe | CertificateProbe] = []

    def start(self) -> None:
        """Decide what to ask: neighbours over HTTP, or parts of this same process."""
        settings = self._kernel.settings
        database = DatabaseProbe(settings.database, self._kernel.clock)
        self._ask(database, "database", seconds=PING_SECONDS)
        self._closing.append(database)
        if settings.redis_url:
            redis = RedisProbe(settings.redis_url)
            self._ask(redis, "redis", seconds=PING_SECONDS)
            self._closing.append(redis)
        self._ask(DiskProbe(settings.data_dir / "faults"), "disk", seconds=PING_SECONDS)
        if settings.pbx == "asterisk":
            nodes = [(node.host, node.port) for node in settings.asterisk_nodes]
            self._ask(ManagerProbe(nodes), "pbx", seconds=PING_SECONDS)
        if found := places(settings):
            ahead = timedelta(days=settings.certificate_days)
            certificates = CertificateProbe(found, ahead, self._kernel.clock)
            self._ask(certificates, *NAMES, seconds=PING_SECONDS)
            self._closing.append(certificates)
        if self._kernel.checks.keys() & {"pbx", "registry"}:
            self._ask(self._own_parts, seconds=READY_SECONDS)
        else:
            self._ask_neighbours(settings, self._kernel.clock)

    async def look(self) -> Mapping[str, Reading]:
        """Return what is found of every part."""
        found = await asyncio.gather(
            *(bounded(asked.probe, asked.names, asked.seconds) for asked in self._asked)
        )
        return unseen({"clock": GOOD} | merge(found))

    async def close(self) -> None:
        """Close connections."""
        for probe in self._closing:
            await probe.close()

    def _ask(self, probe: Probe, *names: str, seconds: float) -> None:
        self._asked.append(_Asked(probe, names, seconds))

    def _ask_neighbours(self, settings: Settings, clock: Clock) -> None:
        movecar = ProcessProbe("movecar", settings.listen, _SEEN_BY_MOVECAR, clock)
        outbound = ProcessProbe("outbound", settings.outbound_listen, _SEEN_BY_OUTBOUND, clock)
        for probe in (movecar, outbound):
            self._ask(probe, probe.name, seconds=LIVE_SECONDS + READY_SECONDS)

    async def _own_parts(self) -> Mapping[str, Reading]:
        problems: dict[str, str] = {}
        checks = self._kernel.checks | self._kernel.warnings
        for name, check in checks.items():
            if problem := await check():
                problems[name] = problem
        return parts_seen(problems, _SEEN_BY_MOVECAR + _SEEN_BY_OUTBOUND)
