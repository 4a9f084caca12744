"""The caller put together: what takes requests, dials, follows and finds out. Building it starts nothing."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from services.common.bus import Handler
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.database import Database
from services.common.events import Event
from services.common.phones import own_lines
from services.common.settings import Settings
from services.outbound.dialer import Dialer
from services.outbound.follower import Follower
from services.outbound.guard.gate import Gate
from services.outbound.guard.verdict import Rules
from services.outbound.guard.watch import Watch
from services.outbound.handlers import Handlers
from services.outbound.journal import Journal
from services.outbound.ledger import Ledger
from services.outbound.lines import Lines
from services.outbound.pbx import Pbx
from services.outbound.recovery import Recovery
from services.outbound.scripts.audible import NOT_SET, Audible
from services.outbound.scripts.watch import Scripts


class Engine:
    """Every part of the caller, sharing one `Lines` and one `Journal`."""

    def __init__(self, settings: Settings, clock: Clock, keys: Keys, database: Database, pbx: Pbx) -> None:
        self._pbx = pbx
        self._database = database
        self.lines = Lines(settings.max_concurrent_calls)
        self.audible = Audible(settings.prompts_dir, by_itself=settings.pbx == "sandbox")
        self.scripts = Scripts(database, clock, self.audible, self.lines.wake)
        ledger = Ledger(settings.redial)
        self.journal = Journal(database, clock, ledger, self.lines)
        self.dialer = Dialer(
            database,
            clock,
            keys,
            pbx,
            self.journal,
            self.lines,
            self.scripts,
            Gate(Rules.of(settings.limits, settings.hours)),
            instance=settings.instance,
            ring_seconds=settings.ring_time,
        )
        self.recovery = Recovery(
            database,
            clock,
            pbx,
            self.journal,
            self.lines,
            instance=settings.instance,
            ring_seconds=settings.ring_time,
        )
        self.follower = Follower(clock, pbx, self.journal, self.lines, self.recovery)
        self.watch = Watch(database, clock, settings.call_alarms)
        self._handlers = Handlers(clock, keys, self.scripts, own_lines(settings.desk_phone), self.lines.wake)

    @property
    def handlers(self) -> Mapping[type[Event], Handler]:
        """Event → handler."""
        return self._handlers.table

    @property
    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What has to be kept running."""
        return {
            "scripts": self.scripts.run,
            "journal": self.journal.run,
            "follower": self.follower.run,
            "recovery": self.recovery.run,
            "dialer": self.dialer.run,
            "watch": self.watch.run,
            "pbx": self._pbx.run,
        }

    async def check(self) -> str | None:
        """Tell why no call can be placed now; None when one can."""
        if not self._pbx.connected:
            return f"link to the PBX is down: {self._pbx.reason}"
        if self.lines.closed_because:
            return "finding out what became of earlier calls"
        return None

    async def check_prompts(self) -> str | None:
        """Tell why an owner would not hear what was approved; None when all is well."""
        if self.audible.unset:
            return NOT_SET
        return self.scripts.silent_because or None

    async def close(self) -> None:
        """Write down what is known, once the tasks are stopped; calls that are up go on without us."""
        await self.dialer.close()
        await self.follower.close()
        with contextlib.suppress(Exception):  # the next start finds out the same from the PBX
            await self.journal.drain()
