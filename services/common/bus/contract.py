"""What both buses promise; one contract test suite runs over the two.

Entries reach every consumer they name at least once; entries of one key reach it in log order; what was not
settled is delivered again, after a crash too; nothing the bus itself stores is the only copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Entry:
    """One event on its way. `receipt` is the bus's own handle for settling it (empty when it has none)."""

    event_id: str
    type: str
    payload: dict[str, Any]
    position: int
    receipt: str = ""


class Bus(Protocol):
    """The transport between the log and its consumers.

    Its `mark` says how far it has been given the log. A bus that has forgotten entries has forgotten its mark
    with them, so the relay finds out before anything newer can overtake what is missing.
    """

    async def publish(self, entries: Sequence[Entry], *, expected: str | None, mark: str) -> bool:
        """Append entries in order and set the mark, if it stands at `expected` (None: wherever it stands).

        Return False, having done nothing, when it stands elsewhere.
        """

    async def stands_at(self, mark: str) -> bool:
        """Tell whether the bus has all that was published up to this mark."""

    def announce(self, entries: Sequence[Entry]) -> None:
        """Wake the readers of this process: these entries are committed."""

    async def next_batch(self, consumer: str, limit: int, within: float = 1.0) -> list[Entry]:
        """Wait up to `within` seconds for entries of this consumer that it was not given yet.

        An empty list means that there were none.
        """

    async def settle_within(self, session: AsyncSession, consumer: str, entries: Sequence[Entry]) -> None:
        """Note the entries as handled inside the handlers' own transaction."""

    async def settle_after(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Note the entries as handled once that transaction is committed."""

    def retake(self, consumer: str) -> None:
        """Deliver again what was taken and not settled: the handlers could not run."""

    async def ping(self) -> float:
        """Return the seconds one round trip takes. Raises when the bus is away."""

    async def close(self) -> None:
        """Close connections."""
