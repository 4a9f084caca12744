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
from services.outbound.guard.failing import Failing
from services.outbound.guard.gate import Gate
from services.outbound.guard.verdict import Rules
from services.outbound.guard.watch import Watch
from services.outbound.handlers import Handlers
from services.outbound.instances import Instances, Lease
from services.outbound.journal import Journal
from services.outbound.keeper import TrunkKeeper
from services.outbound.ledger import Ledger
from services.outbound.lines import Lines
from services.outbound.pbx import Pbx
from services.outbound.recovery import Recovery
from services.outbound.scripts.audible import NOT_SET, Audible
from services.outbound.scripts.watch import Scripts
from services.outbound.sweep import Sweep
from services.outbound.switchboard import Switchboard


class Engine:
    """Every part of the caller, sharing one `Lines`, one `Journal` and one `Switchboard`.

    `nodes`: every Asterisk that calls are placed on, by name, at least one.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        keys: Keys,
        database: Database,
        nodes: Mapping[str, Pbx],
    ) -> None:
        self._nodes = nodes
        self._database = database
        self._clock = clock
        instance = settings.instance
        self.lines = Lines(settings.max_concurrent_calls)
        self.audible = Audible(settings.prompts_dir, by_itself=settings.pbx == "sandbox")
        self.scripts = Scripts(database, clock, self.audible, self.lines.wake)
        self.switchboard = Switchboard(
            list(nodes), settings.all_trunks, self.lines, clock, ring_seconds=settings.ring_time
        )
        ledger = Ledger(settings.redial, self.switchboard.in_service)
        self.journal = Journal(database, clock, ledger, self.lines)
        lease = Lease(clock)
        self.instances = Instances(database, clock, instance, lease, self.lines.wake)
        self.dialer = Dialer(
            database,
            clock,
            keys,
            nodes,
            self.switchboard,
            self.journal,
            self.lines,
            self.scripts,
            Gate(Rules.of(settings.limits, settings.hours)),
            lease,
            instance=instance,
            ring_seconds=settings.ring_time,
        )
        self.recoveries = {
            node: Recovery(
                database, clock, node, pbx, self.journal, self.lines, self.switchboard, instance=instance
            )
            for node, pbx in nodes.items()
        }
        self.followers = {
            node: Follower(
                clock, node, pbx, self.journal, self.lines, self.switchboard, self.recoveries[node]
            )
            for node, pbx in nodes.items()
        }
        self.sweep = Sweep(
            database,
            clock,
            self.journal,
            self.lines,
            self.instances,
            self.recoveries,
            instance=instance,
            ring_seconds=settings.ring_time,
        )
        self.failing = Failing(database, clock, settings.call_alarms, [self.check, self.check_trunk])
        self.watch = Watch(database, clock, settings.call_alarms)
        self._handlers = Handlers(clock, keys, self.scripts, own_lines(settings.desk_phone), self.lines.wake)

    @property
    def handlers(self) -> Mapping[type[Event], Handler]:
        """Event → handler."""
        return self._handlers.table

    @property
    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What has to be kept running."""
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "instances": self.instances.run,
            "scripts": self.scripts.run,
            "journal": self.journal.run,
            "dialer": self.dialer.run,
            "watch": self.watch.run,
            "failing": self.failing.run,
            "sweep": self.sweep.run,
            "trunks": TrunkKeeper(self._database, self._clock, self.switchboard).run,
        }
        for node, pbx in self._nodes.items():
            tasks[f"follower.{node}"] = self.followers[node].run
            tasks[f"recovery.{node}"] = self.recoveries[node].run
            tasks[f"pbx.{node}"] = pbx.run
        return tasks

    async def check(self) -> str | None:
        """Tell why Asterisk cannot be used now; None when a call can be placed on any node."""
        if self.instances.taken_over:
            return "another process runs as this instance: give each a MOVECAR_INSTANCE of its own"
        if not self.switchboard.open_nodes:
            if any(pbx.connected for pbx in self._nodes.values()):
                return "finding out what became of earlier calls"
            reasons = ", ".join(sorted({pbx.reason for pbx in self._nodes.values()}))
            return f"link to the PBX is down: {reasons}"
        return None

    async def check_trunk(self) -> str | None:
        """Tell why no call gets through though Asterisk can be used; None when one does."""
        return self.switchboard.no_trunk()

    async def trunks_out(self) -> str | None:
        """Name the trunks that carry no calls while others do; None when all do."""
        return self.switchboard.trunks_out()

    async def check_prompts(self) -> str | None:
        """Tell why an owner would not hear what was approved; None when all is well."""
        if self.audible.unset:
            return NOT_SET
        return self.scripts.silent_because or None

    async def close(self) -> None:
        """Write down what is known, once the tasks are stopped; calls that are up go on without us."""
        await self.dialer.close()
        for follower in self.followers.values():
            await follower.close()
        with contextlib.suppress(Exception):  # the next start finds out the same from the PBX
            await self.journal.drain()
        with contextlib.suppress(Exception):  # others find out by the beat
            await self.instances.stop()
