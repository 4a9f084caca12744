"""Which Asterisk and which trunk the next call goes over: those that can carry it, evenly."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from services.common import switches
from services.common.clock import Clock
from services.outbound.calls import CallEvent, Ended, OriginateFailed
from services.outbound.lines import Line, Lines, Route
from services.outbound.metrics import NODE_UP, PBX_UP, TRUNK_FAILURES, TRUNK_UP
from services.outbound.trunks import NO_CHANNEL, Trunk, TrunkState
from services.outbound.verdicts import trunk_failure

log = structlog.get_logger(__name__)

UNANSWERED_SECONDS: Final = 0.5
"""A node that has not answered an Originate for so long is given no further one until it has."""
NOT_STARTED: Final = "not_started"
_TRIED_SINGLY: Final = frozenset({TrunkState.SUSPECT, TrunkState.PROBING})


@dataclass(frozen=True, slots=True)
class Turn:
    """A trunk entered a state."""

    route: Route
    state: TrunkState
    reason: str
    at: datetime


class Switchboard:
    """Every node and every trunk as this instance sees them. Keeps no call; `lines` does."""

    def __init__(
        self,
        nodes: Sequence[str],
        trunks: Sequence[switches.Trunk],
        lines: Lines,
        clock: Clock,
        *,
        ring_seconds: float,
    ) -> None:
        self._clock = clock
        self._lines = lines
        self._ring_seconds = ring_seconds
        self.plans = {trunk.name: trunk for trunk in trunks}
        self.closed: dict[str, str] = dict.fromkeys(nodes, NOT_STARTED)
        """Node → why no call can be placed on it; empty when one can."""
        now = clock.now()
        self.trunks = {Route(node, trunk.name): Trunk(now) for node in nodes for trunk in trunks}
        self._trials: dict[Route, str] = {}
        """The attempt that tries a trunk."""
        self._asked: dict[str, tuple[str, float]] = {}
        """Originates that are not answered yet: attempt → node, and when it was sent."""
        self.turns: deque[Turn] = deque()
        """What changed and is not yet written down."""
        self._proved: set[Route] = set()
        """Routes that have carried a call since the start."""
        self.turned = asyncio.Event()

    @property
    def first_node(self) -> str:
        """Where calls are whose node was not kept: there was only one then."""
        return next(iter(self.closed))

    @property
    def open_nodes(self) -> list[str]:
        """Nodes that calls can be placed on."""
        return [node for node, reason in self.closed.items() if not reason]

    def open(self, node: str) -> None:
        """Calls can be placed on a node: its link is up, and what was missed has been found out."""
        now = self._clock.now()
        for route, trunk in self.trunks.items():
            if route.node == node:
                trunk.unwatched(now)
        self.closed[node] = ""
        self._tell()
        self._lines.changed.set()

    def close(self, node: str, reason: str) -> None:
        """No call can be placed on a node; `reason` is a lowercase code."""
        self.closed[node] = reason
        self._tell()

    @property
    def free(self) -> int:
        """How many more calls may be placed now."""
        self.refresh()
        places = 0
        for route, trunk in self.trunks.items():
            if self._takes(route, trunk):
                places += 1 if trunk.state is TrunkState.PROBING else self._places(route)
        return min(places, self._lines.room(self.open_nodes)) if places else 0

    def problem(self) -> str | None:
        """Tell why no call can be placed, were every line free; None when one can."""
        self.refresh()
        nodes = self.open_nodes
        if not nodes:
            return "no Asterisk node can be used"
        if any(
            trunk.state is not TrunkState.OUT for route, trunk in self.trunks.items() if route.node in nodes
        ):
            return None
        return f"every trunk is out of service ({self._reasons()})"

    def no_trunk(self) -> str | None:
        """Tell why no call gets through though Asterisk can be used; None when one does."""
        open_now = [trunk for route, trunk in self.trunks.items() if not self.closed[route.node]]
        if not open_now or any(trunk.works for trunk in open_now):
            return None
        return f"no trunk is in service ({self._reasons()})"

    def trunks_out(self) -> str | None:
        """Name the trunks that carry no calls while others do, as `<node>/<trunk>: <reason>`."""
        out = {
            route: self.closed[route.node] or trunk.reason
            for route, trunk in self.trunks.items()
            if self.closed[route.node] or not trunk.works
        }
        if not out or len(out) == len(self.trunks):
            return None
        return ", ".join(f"{route.node}/{route.trunk}: {reason}" for route, reason in sorted(out.items()))

    def _reasons(self) -> str:
        return ", ".join(sorted({f"{route.trunk}: {trunk.reason}" for route, trunk in self.trunks.items()}))

    def refresh(self) -> None:
        """Have trunks tried that have been out for long enough."""
        now = self._clock.now()
        for route, trunk in self.trunks.items():
            if trunk.refresh(now):
                self._turn(route, trunk)

    def in_service(self) -> list[Route]:
        """Return the routes that carry calls, the one to prefer first."""
        routes = [
            route
            for route, trunk in self.trunks.items()
            if trunk.state is TrunkState.IN_SERVICE and self._takes(route, trunk)
        ]
        return sorted(routes, key=self._rank)

    def reserve(self, attempt_id: str, owner: str, wanted: Route | None = None) -> Route | None:
        """Take a line for a call that is about to be claimed; None when no trunk can carry it now.

        `wanted`: where it is to go if that is still possible.
        """
        route = self._choose(wanted)
        if route is None:
            return None
        if self.trunks[route].state in _TRIED_SINGLY and not self._trial(route):
            self._trials[route] = attempt_id
        self._lines.placing.add(attempt_id)
        self._lines.take(attempt_id, Line(route, owner, self._clock.monotonic()))
        return route

    def give_back(self, attempt_ids: Iterable[str]) -> None:
        """Let go of lines that were taken for claims that were not made."""
        ids = list(attempt_ids)
        self._lines.placing.difference_update(ids)
        self._lines.release(ids)

    def asked(self, attempt_id: str, node: str) -> None:
        """An Originate goes out to a node. What hangs has to cost one call, not every line (B5)."""
        self._asked[attempt_id] = node, self._clock.monotonic()

    def answered(self, attempt_id: str) -> None:
        """The node has answered, or will not any more."""
        node, _ = self._asked.get(attempt_id, ("", 0.0))
        held = self._hesitates(node)
        self._asked.pop(attempt_id, None)
        if held:
            self._lines.wake()

    def _hesitates(self, node: str) -> bool:
        since = self._clock.monotonic() - UNANSWERED_SECONDS
        return any(at < since for asked, at in self._asked.values() if asked == node)

    def heard(self, attempt_id: str, line: Line, event: CallEvent) -> str | None:
        """Judge the trunk by what became of a call over it, once for each call; return how it failed."""
        if line.judged:
            return None
        trunk = self.trunks.get(line.route)
        failure = None
        match event:
            case Ended(cause=cause, status=status):
                waited_out = self._clock.monotonic() - line.since >= self._ring_seconds - 1
                failure = trunk_failure(cause, status, rang=line.rang, waited_out=waited_out)
            case OriginateFailed(reason=0):
                failure = NO_CHANNEL
            case OriginateFailed():
                return None
            case _:
                line.rang = True
        line.judged = True
        if self._trials.get(line.route) == attempt_id:
            del self._trials[line.route]
        if trunk is None:
            return failure
        now = self._clock.now()
        if failure is None:
            changed = trunk.carried(now)
            if trunk.state is TrunkState.IN_SERVICE and line.route not in self._proved:
                self._proved.add(line.route)
                changed = True  # an earlier process may have left its incident open
        else:
            TRUNK_FAILURES.labels(*line.route, failure).inc()
            changed = trunk.failed(line.owner, failure, now)
        if changed:
            self._turn(line.route, trunk)
        return failure

    def reported(self, node: str, name: str, reason: str, *, well: bool) -> None:
        """Take in what Asterisk itself says of a trunk: `unreachable` or `unregistered`, or no longer so."""
        route = Route(node, name)
        trunk = self.trunks.get(route)
        if trunk is None:
            return
        now = self._clock.now()
        if trunk.found(reason, now) if well else trunk.lost(reason, now):
            self._turn(route, trunk)

    def _choose(self, wanted: Route | None) -> Route | None:
        self.refresh()
        takers = [route for route, trunk in self.trunks.items() if self._takes(route, trunk)]
        if wanted in takers:
            return wanted
        if wanted is None:
            for route in takers:
                if self.trunks[route].state in _TRIED_SINGLY and not self._trial(route):
                    return route
        for state in (TrunkState.IN_SERVICE, TrunkState.SUSPECT, TrunkState.PROBING):
            able = [route for route in takers if self.trunks[route].state is state]
            if able:
                return min(able, key=self._rank)
        return None

    def _takes(self, route: Route, trunk: Trunk) -> bool:
        if self.closed[route.node] or trunk.state is TrunkState.OUT or self._places(route) <= 0:
            return False
        if self._hesitates(route.node):
            return False
        return trunk.state is not TrunkState.PROBING or not self._trial(route)

    def _trial(self, route: Route) -> bool:
        return self._trials.get(route, "") in self._lines

    def _places(self, route: Route) -> int:
        most = self.plans[route.trunk].max_calls
        return 10_000 if most is None else most - self._lines.load(route)

    def _rank(self, route: Route) -> tuple[int, float]:
        plan = self.plans[route.trunk]
        return plan.priority, (self._lines.load(route) + 1) / plan.weight

    def _turn(self, route: Route, trunk: Trunk) -> None:
        tell = log.info if trunk.state is TrunkState.IN_SERVICE else log.warning
        tell("trunk", node=route.node, trunk=route.trunk, state=trunk.state, reason=trunk.reason)
        self.turns.append(Turn(route, trunk.state, trunk.reason, trunk.since))
        self.turned.set()
        self._tell()
        self._lines.changed.set()

    def _tell(self) -> None:
        for route, trunk in self.trunks.items():
            works = not self.closed[route.node] and trunk.state is not TrunkState.OUT
            TRUNK_UP.labels(*route).set(works)
        for node, reason in self.closed.items():
            NODE_UP.labels(node).set(not reason)
        PBX_UP.set(self.problem() is None)
