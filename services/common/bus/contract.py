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
    """The transport between the log and its consumers."""

    async def publish(self, entries: Sequence[Entry]) -> None:
        """Make entries, in order, available to their consumers. May be called again with the same ones."""

    async def next_batch(self, consumer: str, limit: int) -> list[Entry]:
        """Wait a bounded time for entries of this consumer; an empty list means there were none."""

    async def settle_within(self, session: AsyncSession, consumer: str, entries: Sequence[Entry]) -> None:
        """Note the entries as handled inside the handlers' own transaction."""

    async def settle_after(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Note the entries as handled once that transaction is committed."""

    async def lost_entries(self) -> bool:
        """Tell whether published entries may have been lost since the last call (the relay republishes)."""

    async def ping(self) -> float:
        """Return the seconds one round trip takes. Raises when the bus is away."""

    async def close(self) -> None:
        """Close connections."""
