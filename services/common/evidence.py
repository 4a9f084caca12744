"""What a service can prove at this moment of each clause of the contract that it has evidence of (D6).

The service that owns the tables answers for them: it gives one source for each clause. A clause of which
nothing can be said now is `no_evidence`, never well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import structlog
from pydantic import BaseModel, Field

from services.common.clock import Clock
from services.common.database import is_outage
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.times import Moment, rfc3339

log = structlog.get_logger(__name__)

Status = Literal["ok", "warning", "breached", "no_evidence"]
Kind = Literal["count", "seconds", "time", "text"]

READERS: Final[frozenset[Role]] = frozenset({"supervisor", "auditor"})
WINDOW: Final = timedelta(days=30)
"""How far back a clause is judged; every figure that is of a time is of this one."""
_SECONDS: Final = 3.0
"""A board of which one part hangs still shows the others."""


class Figure(BaseModel):
    """A figure with its label in zh-CN. A time is written as every time of the API; null: there is none."""

    code: str
    label: str
    kind: Kind
    value: int | float | str | None


class Evidence(BaseModel):
    """How a clause stands: `findings` say in zh-CN what keeps it from being `ok`, the worst first."""

    status: Status
    findings: list[str]
    figures: list[Figure]
    taken_at: Moment = Field(description="When the figures were read")


class EvidencePage(BaseModel):
    """What one service can say, by clause."""

    clauses: dict[str, Evidence]


Source = Callable[[], Awaitable[Evidence]]
"""Gathers the evidence of one clause; may raise whatever is down."""


def count(code: str, label: str, value: int) -> Figure:
    """Return how many."""
    return Figure(code=code, label=label, kind="count", value=value)


def seconds(code: str, label: str, value: timedelta | None) -> Figure:
    """Return how long, to the tenth of a second."""
    shown = None if value is None else round(value.total_seconds(), 1)
    return Figure(code=code, label=label, kind="seconds", value=shown)


def time(code: str, label: str, value: datetime | None) -> Figure:
    """Return when."""
    return Figure(code=code, label=label, kind="time", value=None if value is None else rfc3339(value))


def text(code: str, label: str, value: str | None) -> Figure:
    """Return what can only be said in words."""
    return Figure(code=code, label=label, kind="text", value=value)


Concern = tuple[Status, str]
"""Something found, and how the clause stands because of it."""
_WORST: Final[Mapping[Status, int]] = {"breached": 0, "no_evidence": 1, "warning": 2, "ok": 3}


def judged(concerns: Sequence[Concern]) -> tuple[Status, list[str]]:
    """Return the worst of what was found, and all of it in that order; nothing found is `ok`.

    A breach that is proved outweighs what cannot be seen, and what cannot be seen outweighs a warning.
    """
    ordered = sorted(concerns, key=lambda concern: _WORST[concern[0]])
    return (ordered[0][0] if ordered else "ok"), [said for _, said in ordered]


def evidence_of(concerns: Sequence[Concern], figures: Sequence[Figure], now: datetime) -> Evidence:
    """Return how a clause stands by what was found, beside the figures that show it."""
    status, findings = judged(concerns)
    return Evidence(status=status, findings=findings, figures=list(figures), taken_at=now)


def not_to_be_had(said: str, now: datetime) -> Evidence:
    """Return that nothing can be said at this moment, and why."""
    return Evidence(status="no_evidence", findings=[said], figures=[], taken_at=now)


async def gathered(sources: Mapping[str, Source], clock: Clock) -> dict[str, Evidence]:
    """Ask all sources at once. One that fails or takes longer than 3 s is `no_evidence`, and says so."""
    found = await asyncio.gather(*(_bounded(name, source, clock) for name, source in sources.items()))
    return dict(zip(sources, found, strict=True))


async def _bounded(name: str, source: Source, clock: Clock) -> Evidence:
    try:
        async with asyncio.timeout(_SECONDS):
            return await source()
    except Exception as error:
        if is_outage(error):
            log.warning("evidence_not_to_be_had", clause=name, error=type(error).__name__)
        else:
            log.exception("evidence_not_gathered", clause=name)
        return not_to_be_had("证据暂时取不到，请稍后再看", clock.now())


def endpoint(service: str, sources: Mapping[str, Source], clock: Clock) -> Endpoint:
    """Return the call by which a service answers for its own clauses."""

    async def answer(_: Call[Any, Any]) -> Answer:
        return Answer(200, EvidencePage(clauses=await gathered(sources, clock)))

    return Endpoint(
        "GET",
        f"/contract/{service}",
        f"What {service} can prove of the contract's clauses",
        answer,
        {200: EvidencePage},
        roles=READERS,
        independent=True,
    )
