"""`GET /contract`: every clause that the system can prove something of, and how it stands now (D6)."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from services.common.clock import Clock
from services.common.evidence import READERS, Evidence, Figure, Status
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.times import Moment
from services.movecar.contract.board import Board
from services.movecar.contract.clauses import Clause


class ProofAnswer(BaseModel):
    """Where the proof can be read: a path below `/api/v1`, and a page of the console; empty: it has none."""

    label: str
    path: str
    page: str


class ClauseAnswer(BaseModel):
    """A clause with its evidence. `origin` is the article of the vehicle-move contract; the rest is zh-CN."""

    id: str
    origin: str
    text: str
    status: Status
    findings: list[str] = Field(description="What keeps it from being ok, the worst first")
    figures: list[Figure]
    taken_at: Moment = Field(description="When the figures were read")
    proofs: list[ProofAnswer]


class BoardAnswer(BaseModel):
    """The board, in the order of the requirements. Figures of a period are of the last 30 days."""

    items: list[ClauseAnswer]
    read_at: Moment


class BoardApi:
    """Answers for the board."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board, self._clock = board, clock

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The call of this module."""
        return (
            Endpoint(
                "GET",
                "/contract",
                "The contract's clauses with their live evidence",
                self.read,
                {200: BoardAnswer},
                roles=READERS,
                independent=True,
            ),
        )

    async def read(self, call: Call[Any, Any]) -> Answer:
        found = await self._board.evidence(call.request)
        items = [_answer(clause, evidence) for clause, evidence in found]
        return Answer(200, BoardAnswer(items=items, read_at=self._clock.now()))


def _answer(clause: Clause, evidence: Evidence) -> ClauseAnswer:
    return ClauseAnswer(
        id=clause.id,
        origin=clause.origin,
        text=clause.text,
        status=evidence.status,
        findings=evidence.findings,
        figures=evidence.figures,
        taken_at=evidence.taken_at,
        proofs=[ProofAnswer(label=proof.label, path=proof.path, page=proof.page) for proof in clause.proofs],
    )
