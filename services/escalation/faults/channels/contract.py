"""What a channel is: it tries once and says what proof it has. Repeating is the engine's work.

A channel that is not configured is not in the list; there is none that only pretends.
"""

from typing import Protocol

from services.escalation.faults.notices import Notice
from services.escalation.faults.records import Audience


class NotDelivered(Exception):
    """The notice did not get through, or nobody can say that it did; the message says why."""


class Channel(Protocol):
    """One way to one audience. `name` is unique and lasting: deliveries in the journal are known by it."""

    @property
    def name(self) -> str:
        """Return the lasting name, e.g. `push`."""

    @property
    def audience(self) -> Audience:
        """Return whom it reaches."""

    async def deliver(self, notice: Notice) -> tuple[str, str]:
        """Send once; return (who took it, proof). Raises NotDelivered.

        Returns only with an answer of the far end that it has the notice: a 2xx, an SMTP 250, a key pressed.
        """

    async def close(self) -> None:
        """Let go of connections."""
