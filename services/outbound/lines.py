"""The calls of this instance: how many may still be placed, and which to follow."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

NOT_STARTED: Final = "not_started"


class Lines:
    """The attempts that this instance has claimed and that have not ended, and whether more may be placed.

    A cache of what the database says, for decisions that need no transaction. Whoever waits for a free line
    waits for `changed`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._up: set[str] = set()
        self.placing: set[str] = set()
        """Claimed, and the originate is not yet answered."""
        self.gapped: set[str] = set()
        """Up across a time without a link: something about them may have been missed."""
        self.ending: set[str] = set()
        """Their end was seen and is being written down."""
        self.closed_because = NOT_STARTED
        """Why no call can be placed; empty when it can."""
        self.queue_grew = True
        """Whether the queue may hold an attempt that the dialer does not know of."""
        self.changed = asyncio.Event()

    @property
    def free(self) -> int:
        """How many more calls may be placed now."""
        return 0 if self.closed_because else max(0, self._limit - len(self._up))

    @property
    def up(self) -> frozenset[str]:
        """Ids of the attempts that may be up."""
        return frozenset(self._up)

    def __contains__(self, attempt_id: str) -> bool:
        return attempt_id in self._up

    def __len__(self) -> int:
        return len(self._up)

    def take(self, attempt_ids: Iterable[str]) -> None:
        """Count and follow these attempts from now on."""
        self._up.update(attempt_ids)

    def release(self, attempt_ids: Collection[str]) -> None:
        """Stop following attempts that have ended or gone back to the queue."""
        self._up.difference_update(attempt_ids)
        self.gapped.difference_update(attempt_ids)
        self.ending.difference_update(attempt_ids)
        self.changed.set()

    def wake(self) -> None:
        """Have the queue looked at: something was put into it."""
        self.queue_grew = True
        self.changed.set()

    def open(self) -> None:
        """Calls can be placed: the link is up, and what was missed has been found out."""
        self.closed_because = ""
        self.changed.set()

    def close(self, reason: str) -> None:
        """No call can be placed; `reason` is a lowercase code."""
        self.closed_because = reason
