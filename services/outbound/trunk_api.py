"""`GET /trunks`: the nodes and trunks as this process sees them."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.times import Moment
from services.outbound.lines import Lines
from services.outbound.switchboard import Switchboard
from services.outbound.trunks import TrunkState

READERS: frozenset[Role] = frozenset({"supervisor", "auditor"})


class NodeAnswer(BaseModel):
    """An Asterisk node. `problem`: why no call is placed on it, a stable code; empty when one can be."""

    name: str
    up: bool
    problem: str
    calls_up: int


class TrunkAnswer(BaseModel):
    """A trunk on a node. `reason` and `failed_at`: the last failure, also of a trunk that is well again."""

    node: str
    trunk: str
    state: TrunkState
    since: Moment
    calls_up: int
    max_calls: int | None
    reason: str
    failed_at: Moment | None


class TrunksAnswer(BaseModel):
    """Everything calls can go over. `problem`: why none can be placed now; null when one can."""

    instance: str
    problem: str | None
    nodes: list[NodeAnswer]
    trunks: list[TrunkAnswer]


class TrunkApi:
    """What supervisors and auditors can see of nodes and trunks."""

    def __init__(self, instance: str, switchboard: Switchboard, lines: Lines) -> None:
        self._instance = instance
        self._switchboard = switchboard
        self._lines = lines

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The one endpoint."""
        return (
            Endpoint(
                "GET",
                "/trunks",
                "See the Asterisk nodes and trunks, as one outbound process does",
                self.show,
                {200: TrunksAnswer},
                roles=READERS,
            ),
        )

    async def show(self, _: Call[Any, Any]) -> Answer:
        """Tell how things stand now; nothing is asked of anyone for it."""
        board = self._switchboard
        problem = board.problem()
        nodes = [
            NodeAnswer(name=node, up=not reason, problem=reason, calls_up=len(self._lines.on(node)))
            for node, reason in board.closed.items()
        ]
        trunks = [
            TrunkAnswer(
                node=route.node,
                trunk=route.trunk,
                state=trunk.state,
                since=trunk.since,
                calls_up=self._lines.load(route),
                max_calls=board.plans[route.trunk].max_calls,
                reason=trunk.reason,
                failed_at=trunk.failed_at,
            )
            for route, trunk in board.trunks.items()
        ]
        return Answer(200, TrunksAnswer(instance=self._instance, problem=problem, nodes=nodes, trunks=trunks))
