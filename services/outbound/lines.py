"""The calls of this instance: how many may still be placed, and which to follow."""

import asyncio
from collections import Counter
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Route(NamedTuple):
    """Which Asterisk a call is placed on, and over which trunk."""

    node: str
    trunk: str


@dataclass(slots=True)
class Line:
    """One call of ours."""

    route: Route
    owner: str = ""
    """The contact it is for."""
    since: float = 0.0
    """Monotonic seconds; when its line was taken."""
    rang: bool = False
    judged: bool = False
    """Whether its trunk was already judged by it."""


class Lines:
    """The attempts that this instance has claimed and that have not ended, and where each of them is.

    A cache of what the database says, for decisions that need no transaction. Whoever waits for a free line
    waits for `changed`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._up: dict[str, Line] = {}
        self._load: Counter[Route] = Counter()
        self.placing: set[str] = set()
        """Claimed, or about to be, and the originate is not yet answered."""
        self.gapped: set[str] = set()
        """Up across a time without a link: something about them may have been missed."""
        self.ending: set[str] = set()
        """Their end was seen and is being written down."""
        self.queue_grew = True
        """Whether the queue may hold an attempt that the dialer does not know of."""
        self.changed = asyncio.Event()

    def room(self, nodes: Container[str]) -> int:
        """How many more calls there are lines for; calls on other nodes than these take none."""
        taken = sum(count for route, count in self._load.items() if route.node in nodes)
        return max(0, self._limit - taken)

    @property
    def up(self) -> frozenset[str]:
        """Ids of the attempts that may be up."""
        return frozenset(self._up)

    def on(self, node: str) -> set[str]:
        """Ids of the attempts that may be up on this node."""
        return {attempt_id for attempt_id, line in self._up.items() if line.route.node == node}

    def load(self, route: Route) -> int:
        """How many calls are up over this route."""
        return self._load[route]

    def find(self, attempt_id: str) -> Line | None:
        """Return the line of an attempt of ours."""
        return self._up.get(attempt_id)

    def __contains__(self, attempt_id: str) -> bool:
        return attempt_id in self._up

    def __len__(self) -> int:
        return len(self._up)

    def take(self, attempt_id: str, line: Line) -> None:
        """Count and follow this attempt from now on."""
        if attempt_id not in self._up:
            self._up[attempt_id] = line
            self._load[line.route] += 1

    def release(self, attempt_ids: Collection[str]) -> None:
        """Stop following attempts that have ended or gone back to the queue."""
        self._drop(attempt_ids)
        self.gapped.difference_update(attempt_ids)
        self.ending.difference_update(attempt_ids)
        self.changed.set()

    def _drop(self, attempt_ids: Iterable[str]) -> None:
        for attempt_id in attempt_ids:
            line = self._up.pop(attempt_id, None)
            if line is not None:
                self._load[line.route] -= 1

    def wake(self) -> None:
        """Have the queue looked at: something was put into it."""
        self.queue_grew = True
        self.changed.set()
