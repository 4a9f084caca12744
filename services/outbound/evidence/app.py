"""The evidence put together: what collects, what compares, what answers. Building it starts nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import structlog

from services.common.evidence import Source
from services.common.http.endpoint import Endpoint
from services.common.service import Kernel
from services.outbound.evidence import clauses as proofs
from services.outbound.evidence.api import EvidenceApi
from services.outbound.evidence.collector import Collector
from services.outbound.evidence.reconciler import Reconciler
from services.outbound.evidence.recordings import collected_recordings

log = structlog.get_logger(__name__)

_RECORDED_SECONDS: Final = 150.0
"""How much longer than its call record an answered call's recording may take: 2 minutes for a file that is
not whole, and a look at the spool."""


@dataclass(frozen=True)
class Evidence:
    """What has to be kept running, what is answered, and what it proves of the contract's clauses."""

    tasks: Mapping[str, Callable[[], Awaitable[None]]]
    endpoints: Sequence[Endpoint]
    clauses: Mapping[str, Source]

    @classmethod
    def of(cls, kernel: Kernel) -> Self:
        """Wire it; where no call records are collected, nothing is compared, and the log says so."""
        settings, database, clock = kernel.settings, kernel.database, kernel.clock
        files, recordings = settings.call_record_files, collected_recordings(settings)
        after = settings.reconcile_after
        tasks = {
            f"call-records-{node}": Collector(database, clock, node, path).run for node, path in files.items()
        }
        if files:
            tasks["reconciler"] = Reconciler(
                database,
                clock,
                files,
                recordings,
                after=after,
                recorded_after=after + _RECORDED_SECONDS,
            ).run
        else:
            log.warning("call_records_not_collected")
        clauses: dict[str, Source] = {
            "B4": proofs.Reconciled(database, clock, files, proofs.calls),
            "B8": proofs.Reconciled(database, clock, files, proofs.recordings),
        }
        return cls(tasks, EvidenceApi(database, clock, files, recordings, after=after).endpoints, clauses)
