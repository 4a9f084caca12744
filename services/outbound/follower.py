"""From a node's events to the journal: which are ours, and which need a second look first."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from services.common.ami import AmiError
from services.common.clock import Clock
from services.outbound.attempts import Trigger
from services.outbound.calls import (
    CallEvent,
    Ended,
    OriginateFailed,
    SeatLeft,
    SeatRinging,
    TrunkSeen,
)
from services.outbound.journal import Journal
from services.outbound.lines import Lines
from services.outbound.metrics import CALLS_UP
from services.outbound.pbx import Connected, Disconnected, Pbx
from services.outbound.records import Change
from services.outbound.recovery import Recovery
from services.outbound.switchboard import Switchboard

log = structlog.get_logger(__name__)


class Follower:
    """Reads a node's stream; never waits, so that events are never held up by the database."""

    def __init__(
        self,
        clock: Clock,
        node: str,
        pbx: Pbx,
        journal: Journal,
        lines: Lines,
        switchboard: Switchboard,
        recovery: Recovery,
    ) -> None:
        self._clock = clock
        self._node = node
        self._pbx = pbx
        self._journal = journal
        self._lines = lines
        self._switchboard = switchboard
        self._recovery = recovery
        self._adopted = False
        self._looking: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow calls for ever."""
        if not self._adopted:
            await self._recovery.adopt()
            self._adopted = True
        try:
            async for notice in self._pbx.stream():
                match notice:
                    case Connected():
                        self._recovery.connected()
                    case Disconnected(reason=reason):
                        self._recovery.disconnected(reason)
                    case TrunkSeen(trunk=trunk, reason=reason, well=well):
                        self._switchboard.reported(self._node, trunk, reason, well=well)
                    case tuple():
                        self.take(notice)
                CALLS_UP.set(len(self._lines))
        except Exception:
            self._recovery.missed()
            raise

    def take(self, events: Iterable[CallEvent]) -> None:
        """Pass on what happened to our calls."""
        now = self._clock.now()
        changes = []
        for event in events:
            attempt_id = event.attempt_id
            if isinstance(event, SeatRinging | SeatLeft):
                continue  # nothing to be written down: the seat's answer counts, and the call's end
            line = self._lines.find(attempt_id)
            if line is None:
                continue  # another instance's call, or one whose end is written down
            gapped = attempt_id in self._lines.gapped
            failure = None if gapped else self._switchboard.heard(attempt_id, line, event)
            change = Change.seen(event, now, failure=failure, gapped=gapped)
            if isinstance(event, Ended | OriginateFailed):
                self._lines.ending.add(attempt_id)
                if gapped:
                    self._look(self._ask_first(change))
                    continue
            changes.append(change)
        self._journal.put(changes)

    def _look(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _ask_first(self, end: Change) -> None:
        """The owner's key may have been missed: what the dialplan wrote down counts before the cause."""
        try:
            left = await self._recovery.left_result(end.attempt_id)
        except AmiError:
            self._lines.ending.discard(end.attempt_id)  # `recovery` asks again
            return
        if left is not None:
            end = Change(end.attempt_id, Trigger.LEFT_RESULT, end.at, code=end.code, left=left)
        self._journal.put([end])

    async def close(self) -> None:
        """Let go of what is being looked into; it is found out at the next start."""
        looking = list(self._looking)
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
