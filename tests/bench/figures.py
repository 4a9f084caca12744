"""From what was seen to the figures. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


class CallsLost(Exception):
    """Not every call came to its right end; the message says how many and how."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution of durations, in milliseconds."""

    count: int
    p50: float
    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Latency:
    """A steady window at a given rate: the whole way and its steps, in order, by name.

    `cpu_ms`: processor time per case opened, by process name. `busy` is the share of the machine in use,
    `strangers` the share used by processes that are not ours.
    """

    steps: dict[str, Spread]
    cpu_ms: dict[str, float]
    busy: float
    strangers: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """A steady window at saturation. `cpu_ms`: processor time per completed call, by process name.

    `busy` is the share of the machine in use, `strangers` the share used by processes that are not ours.
    """

    seconds: float
    calls: int
    cpu_ms: dict[str, float]
    busy: float
    strangers: float

    @property
    def rate(self) -> float:
        """Calls completed per second."""
        return self.calls / self.seconds


def spread(seconds: Sequence[float]) -> Spread:
    """The distribution of durations given in seconds. Raises ValueError when there are none."""
    if not seconds:
        raise ValueError("nothing was measured")
    ordered = sorted(1000 * second for second in seconds)
    return Spread(len(ordered), _quantile(ordered, 0.50), _quantile(ordered, 0.95), ordered[-1])


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed."""
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


def within(moments: Sequence[float], begin: float, end: float) -> int:
    """How many moments lie in the window."""
    return sum(begin <= moment < end for moment in moments)
