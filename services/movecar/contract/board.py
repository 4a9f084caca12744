"""The board put together: what this process can prove, and what its neighbours answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp
import structlog
from aiohttp import web

from services.common.clock import Clock
from services.common.evidence import Evidence, EvidencePage, Source, gathered, not_to_be_had
from services.movecar.contract.clauses import Clause

log = structlog.get_logger(__name__)

Ask = Callable[[str, web.Request], Awaitable[bytes]]
"""Reads a path of a neighbour's API in the name of whoever asked."""
_NAMES: Mapping[str, str] = {"movecar": "受理服务", "outbound": "外呼服务", "escalation": "110通知服务"}


class Board:
    """Evidence for each clause. `here` are the sources of this process, `elsewhere` the neighbours to ask."""

    def __init__(
        self,
        clauses: Sequence[Clause],
        here: Mapping[str, Source],
        elsewhere: Mapping[str, Ask],
        clock: Clock,
    ) -> None:
        self._clauses, self._here, self._elsewhere, self._clock = clauses, here, elsewhere, clock

    async def evidence(self, request: web.Request) -> list[tuple[Clause, Evidence]]:
        """Return every clause with its evidence; where none can be had it says whose fault that is."""
        own = {clause.id: self._here[clause.id] for clause in self._clauses if clause.id in self._here}
        found, *answers = await asyncio.gather(
            gathered(own, self._clock),
            *(self._of(service, ask, request) for service, ask in self._elsewhere.items()),
        )
        for answer in answers:
            found |= {name: evidence for name, evidence in answer.items() if name not in own}
        return [(clause, found.get(clause.id) or self._nothing(clause)) for clause in self._clauses]

    async def _of(self, service: str, ask: Ask, request: web.Request) -> dict[str, Evidence]:
        try:
            return EvidencePage.model_validate_json(await ask(f"/contract/{service}", request)).clauses
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("evidence_not_to_be_had", service=service, error=type(error).__name__)
            return {}

    def _nothing(self, clause: Clause) -> Evidence:
        return not_to_be_had(f"{_NAMES[clause.service]}无应答，证据暂时取不到", self._clock.now())
