"""One simulated machine: its clock, its disk, and a watcher that may be killed at any await."""

import contextlib
import random
from collections.abc import Coroutine, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.escalation.faults.book import Book
from services.escalation.faults.detection.judge import Reading, calm
from services.escalation.faults.engine import Engine, Outcome, Try
from services.escalation.faults.merge import Row, merged
from services.escalation.faults.pair.messages import Message, Role
from services.escalation.faults.pair.news import unsettled
from services.escalation.faults.pair.pair import HOLD, Pair
from services.escalation.faults.records import Audience, Delivery, Duty, Fault, Record
from tests.simulation.waking import next_moment

if TYPE_CHECKING:
    from tests.simulation.world import World

START = datetime(2026, 4, 1, tzinfo=UTC)
PROBE = 3.0
"""Seconds between two looks at the parts."""
FAULT_AFTER = 15.0
TELL = 1.0
"""Seconds a notice waits for the other machine to know of it."""
CHANNELS: Mapping[Audience, Sequence[str]] = {"desk": ["push", "sms"], "supervisor": ["email"]}
_LONG_AFTER = START + timedelta(days=4000)
Key = tuple[type[Record], str]
Kept = dict[Key, Record]


class _Moment:
    """Something a coroutine waits for; the simulation decides whether it lives to see it."""

    def __await__(self) -> Generator[str, None, None]:
        yield "moment"


class Clock:
    """The machine's clocks in true time: the wall clock is off by what somebody set it to."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.offset = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self._world.true + self.offset)

    def monotonic(self) -> float:
        return self._world.true

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the engine never sleeps")


class Disk:
    """What survives a kill: the last committed state of every record, and how far it was merged.

    `since` is when it came into its machine, `learned` when that first knew of a fault, written down or not.
    """

    def __init__(self, identity: int, world: "World") -> None:
        self.identity = identity
        self.since = world.true
        self.learned: dict[str, float] = {}
        self.kept: Kept = {}
        self._world = world
        self.full = False
        self.revision = 0
        self.merged = 0
        self._changed: dict[Key, int] = {}

    async def load(self) -> Sequence[Record]:
        # As the journal: what is settled is not read again.
        book = Book()
        book.apply(self.kept.values())
        book.forget(_LONG_AFTER)
        alive: list[Record] = [*book.components.values(), *book.faults.values(), *book.duties.values()]
        alive += [*book.deliveries.values(), *book.maintenance.values()]
        return [*alive, *([book.beat] if book.beat else [])]

    async def known(self, keys: Sequence[Key]) -> Sequence[Record]:
        return [self.kept[key] for key in keys if key in self.kept]

    async def write(self, records: Sequence[Record]) -> None:
        await _Moment()
        for record in records:
            if isinstance(record, Fault):
                self.learned.setdefault(record.id, self._world.true)
        if self.full:
            raise OSError(28, "No space left on device")
        self.revision += 1
        for record in records:
            key = type(record), record.id
            self.kept[key] = record
            if isinstance(record, Fault):
                self._world.ever[record.id] = record
            if isinstance(record, Fault | Duty | Delivery):
                self._changed.pop(key, None)
                self._changed[key] = self.revision
        await _Moment()

    def merge(self, ledger: dict[Key, Row], *, noted: bool) -> None:
        """Put what changed into the main database; not noted: killed before it could note how far it got."""
        for key, revision in self._changed.items():
            if revision > self.merged:
                new = Row(self.kept[key], revision, self.identity)
                there = ledger.get(key)
                ledger[key] = new if there is None else merged(there, new)
        if noted:
            self.merged = self.revision


class Machine:
    """One of one or two. Alone, `role` is None."""

    def __init__(self, world: "World", role: Role | None) -> None:
        self.world, self.role = world, role
        self.random: random.Random = world.random
        self.clock = Clock(world)
        self.disks = [Disk(1 + len(world.machines), world)]
        self.alive = self.frozen = False
        self.uplink: list[tuple[float, bool]] = [(0.0, True)]
        self.lives: list[list[float]] = []
        self.frozen_at: set[float] = set()
        self.life = 0
        self.engine: Engine | None = None
        self.pair: Pair | None = None
        self._wake_at = self._due_at = float("inf")
        self._looked_at = 0.0
        self._readings: dict[str, Reading] = {}
        self._late: list[tuple[Try, Outcome]] = []

    @property
    def disk(self) -> Disk:
        """The disk it has."""
        return self.disks[-1]

    @property
    def lost_disks(self) -> int:
        """How many it has lost."""
        return len(self.disks) - 1

    @property
    def awake(self) -> bool:
        """Whether it does anything at all."""
        return self.alive and not self.frozen

    # -- life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new process on what the disk has."""
        if self.alive:
            return
        world = self.world
        self.pair = None if self.role is None else Pair(self.role, self.clock)
        self.engine = Engine(
            self.disk,
            self.clock,
            CHANNELS,
            timedelta(seconds=FAULT_AFTER),
            pair=self.pair,
        )
        self.alive = True
        self.life += 1
        self._wake_at = self._due_at = float("inf")
        self.lives.append([world.true, float("inf")])
        self._looked_at = world.true
        world.greet(self)
        if self.drive(self.engine.start()):
            if self.pair is not None:
                self.pair.owe(unsettled(self.engine.book))
            self.look()

    def kill(self) -> None:
        """End it: between two looks, or right after one."""
        if not self.awake:
            return
        if self.random.random() < 0.5:
            self.catch_up()
        else:
            self.look()
        if self.alive:
            self.die()

    def die(self) -> None:
        """End it here and now."""
        self.world.before_parting()
        # What no other machine knows is lost with a disk; what one was told of is not.
        told = self.world.linked and self.pair is not None and self.pair.settled
        self.alive = self.frozen = False
        self.engine = None
        self.lives[-1][1] = self.world.true
        self._late.clear()
        self.world.report.kills += 1
        self.world.parted()
        down = self.random.choice((0.5, 3.0, 30.0, 600.0, 3000.0)) * self.random.uniform(0.5, 1.5)
        self.world.at(self.world.true + down, "start", self)
        if told and self.random.random() < 0.2:
            self.disks.append(Disk(self.disk.identity + 100, self.world))

    def freeze(self) -> None:
        """Stop it without ending it."""
        if self.awake:
            self.catch_up()
            self.world.before_parting()
            self.frozen = True
            self.lives[-1][1] = self.world.true
            self.frozen_at.add(self.world.true)
            self.world.parted()

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        if not self.frozen:
            return
        self.frozen = False
        self.lives.append([self.world.true, float("inf")])
        if self.pair is not None:
            self.pair.broke_off()
        for one, outcome in self._late:
            if self.engine is not None:
                self.drive(self.engine.settle(one, outcome))
        self._late.clear()
        self.look()

    def drive(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a step of the engine; at each of its awaits it may be killed. Return its result in a list."""
        deadly = self.random.random() < 0.003
        try:
            while True:
                work.send(None)
                if deadly and self.random.random() < 0.5:
                    work.close()
                    self.die()
                    return None
        except StopIteration as stop:
            return [stop.value]

    # -- what its loops do ---------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Make the looks since the last one: all found the same, so the last of them counts."""
        world = self.world
        now = world.true
        if not self.awake or self.engine is None or now - self._looked_at <= PROBE:
            return
        world.true = self._looked_at = now - self.random.uniform(0.0, PROBE)
        world.talk()
        if self.awake and self.engine is not None:
            with contextlib.suppress(StopIteration):
                work = self.engine.observe(self._readings)
                while True:
                    work.send(None)
        world.true = now

    def look(self) -> None:
        """Look at everything, then send what is due."""
        readings = self.world.readings
        if self._readings is not readings or self.random.random() < 0.02:
            self.catch_up()
        self.world.talk()
        if not self.awake or self.engine is None:
            return
        self._looked_at, self._readings = self.world.true, readings
        if self.drive(self.engine.observe(readings)) is not None:
            self.send_due()

    def send_due(self) -> None:
        """Send what is due now, the other machine being told first."""
        if not self.awake or self.engine is None:
            return
        found = self.drive(self.engine.due())
        if found is None:
            return
        wait = 0.0
        if self.pair is not None and any(one.delivery.tries == 1 for one in found[0]):
            self.world.talk_over()
            if not self.awake:
                return
            wait = TELL if self.pair.heard and not self.pair.settled else 0.0
        for one in found[0]:
            at = self.world.true + wait + self.random.uniform(0.05, 4.0)
            self.world.at(at, "arrive", (self, self.life, one))
        self.schedule()

    def settle(self, one: Try, outcome: Outcome) -> None:
        """Note what became of a try."""
        if self.frozen:
            self._late.append((one, outcome))
        elif self.engine is not None and self.drive(self.engine.settle(one, outcome)) is not None:
            self.send_due()

    def hear(self, message: Message, answers: str = "") -> bool:
        """Take over a message; whether it lived through that."""
        if self.pair is None or self.engine is None:
            return False
        if self.pair.hear(message, answers):
            self.pair.owe(unsettled(self.engine.book))
        if message.records:
            found = self.drive(self.engine.receive(message.records))
            if found is None:
                return False
            self.pair.owe(found[0])
            self._send_at(self.world.true + 0.01)
        self.pair.took(message)
        return True

    def schedule(self) -> None:
        """Wake up when the engine has something due, or a judgement can change."""
        engine = self.engine
        if engine is None:
            return
        now = self.world.true
        hold = None if self.pair is None else HOLD
        soon = next_moment(engine.book, CHANNELS, self.clock.now(), hold)
        if soon is not None:
            at = max((soon - self.clock.now()).total_seconds() + now, now + 0.01)
            self._send_at(at)
        moments = []
        for name in self.world.parts if self.pair is None else (*self.world.parts, "peer"):
            component = engine.book.components.get(name)
            if component is None:
                continue
            down = engine.book.probed(name) is not None
            if self._finds_bad(name) != down:  # something is on its way to be found out
                if component.good_since is not None:
                    soon = component.good_since + calm(component.flaps)
                    wait = (soon - self.clock.now()).total_seconds()
                else:
                    known = max(component.good_at, engine.watching_since)
                    wait = (known - self.clock.now()).total_seconds() + FAULT_AFTER
                moments.append(now + max(wait, 0.0) + self.random.uniform(0.01, PROBE))
        if self.pair is not None:
            self.world.when_owed()
            alone_at = self.pair.uninformed_at
            if alone_at is not None and (wait := alone_at - self.clock.monotonic()) > 0:
                moments.append(now + wait + PROBE / 2)
            if not self.world.linked and self.pair.heard and self.pair.silent_at is not None:
                moments.append(self.pair.silent_at + self.random.uniform(0.01, 1.0))
        if moments:
            at = max(min(moments), now + 0.01)
            if at < self._wake_at - 0.001 or self._wake_at <= now:
                self._wake_at = at
                self.world.at(at, "wake", (self, self.life, at))

    def _send_at(self, at: float) -> None:
        if at < self._due_at - 0.001 or self._due_at <= self.world.true:
            self._due_at = at
            self.world.at(at, "due", (self, self.life, at))

    def wake(self, life: int, at: float) -> None:
        """Do what it was to be woken for, unless it was to be woken earlier by now."""
        if life == self.life and self.awake and at == self._wake_at:
            self._wake_at = float("inf")
            self.look()

    def wake_to_send(self, life: int, at: float) -> None:
        """Send what it was to be woken for; whether it has to look again is another matter."""
        if life == self.life and self.awake and at == self._due_at:
            self._due_at = float("inf")
            self.send_due()

    def _finds_bad(self, name: str) -> bool:
        if name == "peer":
            return self.pair is not None and not self.pair.heard
        return self.world.bad[name]
