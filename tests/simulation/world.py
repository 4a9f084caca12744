"""A year of faults in virtual time around the real engine: parts break and flap, channels refuse, the watcher
is killed at any write or between two, its clock is set, its disk is full. One seed decides everything.

Time moves from event to event; between events nothing would change, so nothing is looked at.
"""

import contextlib
import heapq
import itertools
import logging
import random
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from services.escalation.faults.book import Book
from services.escalation.faults.detection.judge import CALM, Reading, calm
from services.escalation.faults.engine import Engine, Outcome, Try
from services.escalation.faults.records import Audience, Beat, Component, Fault, Maintenance, Record

START = datetime(2026, 4, 1, tzinfo=UTC)
DAY = 86_400.0
PROBE = 3.0
"""Seconds between two looks at the parts."""
FAULT_AFTER = 15.0
PARTS = ("movecar", "outbound", "database", "redis", "pbx", "registry", "disk", "recordings")


_BAD, _GOOD = Reading("bad", "down"), Reading("good")


class _Moment:
    """Something a coroutine waits for; the simulation decides whether it lives to see it."""

    def __await__(self) -> Generator[str, None, None]:
        yield "moment"


class Clock:
    """The machine's clocks in true time: the wall clock is off by what somebody set it to."""

    def __init__(self) -> None:
        self.true = 0.0
        self.offset = 0.0
        self.booted = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.true + self.offset)

    def monotonic(self) -> float:
        return self.true - self.booted

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the engine never sleeps")


class Disk:
    """What survives a kill: the last committed state of every record."""

    def __init__(self) -> None:
        self.kept: dict[tuple[type[Record], str], Record] = {}
        self.full = False
        self.writes = 0

    async def load(self) -> Sequence[Record]:
        # As the journal: what is settled is not read again.
        book = Book()
        book.apply(self.kept.values())
        book.forget(START + timedelta(days=4000))
        alive: list[Record] = [*book.components.values(), *book.faults.values(), *book.duties.values()]
        alive += [*book.deliveries.values(), *book.maintenance.values()]
        return [*alive, *([book.beat] if book.beat else [])]

    async def known(self, keys: Sequence[tuple[type[Record], str]]) -> Sequence[Record]:
        return [self.kept[key] for key in keys if key in self.kept]

    async def write(self, records: Sequence[Record]) -> None:
        await _Moment()
        if self.full:
            raise OSError(28, "No space left on device")
        self.writes += 1
        for record in records:
            if (
                isinstance(record, Component | Beat | Maintenance)
                or self.kept.get((type(record), record.id)) != record
            ):
                self.kept[type(record), record.id] = record
        await _Moment()


@dataclass
class Channel:
    """One way to one audience. `taken` is what its far end has seen: (true time, notice id)."""

    name: str
    audience: Audience
    up: bool = True
    loses_answers: bool = False
    taken: list[tuple[float, str]] = field(default_factory=list)


@dataclass(order=True)
class _Event:
    at: float
    order: int
    kind: str = field(compare=False)
    data: Any = field(compare=False, default=None)


@dataclass
class Report:
    """What happened in a year."""

    seed: int
    faults: int = 0
    kills: int = 0
    notices: int = 0
    duplicates: int = 0
    broken: list[str] = field(default_factory=list)


class World:
    """One seed's year. `run` returns what it found; `broken` names every invariant that did not hold."""

    def __init__(self, seed: int, days: float = 365.0) -> None:
        self.random = random.Random(seed)
        self.report = Report(seed)
        self.end = days * DAY
        self.clock = Clock()
        self.disk = Disk()
        self.bad: dict[str, bool] = dict.fromkeys(PARTS, False)
        self.changed: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.history: list[tuple[float, str, bool]] = []
        self.channels = [Channel("push", "desk"), Channel("sms", "desk"), Channel("email", "supervisor")]
        self.channel_history: dict[str, list[tuple[float, bool]]] = {
            channel.name: [(0.0, True)] for channel in self.channels
        }
        self.alive = False
        self.lives: list[list[float]] = []
        self.stepped: list[float] = []
        self.disk_full: list[list[float]] = []
        self.engine: Engine | None = None
        self._life = 0
        self._events: list[_Event] = []
        self._order = itertools.count()
        self._wake_at = float("inf")
        self._looked_at = 0.0
        self._readings: dict[str, Reading] = {}

    # -- time ---------------------------------------------------------------------------------------------

    def at(self, when: float, kind: str, data: Any = None) -> None:
        """Let something happen at a moment."""
        if when < self.end:
            heapq.heappush(self._events, _Event(when, next(self._order), kind, data))

    def run(self) -> Report:
        """Live through the year, then let everything heal and be told."""
        self._imagine()
        self._start()
        while self._events:
            event = heapq.heappop(self._events)
            self.clock.true = max(self.clock.true, event.at)
            getattr(self, f"_{event.kind}")(event.data)
        return self.report

    def _imagine(self) -> None:
        """Decide what will go wrong and when. The last two days are quiet, so that all can be told."""
        quiet = self.end - 2 * DAY
        rate = self.random.choice((0.004, 0.01, 0.03))  # a day
        for name in PARTS:
            at = self.random.expovariate(rate / DAY)
            while at < quiet:
                at = self._outage(name, at, quiet)
                at += self.random.expovariate(rate / DAY)
        for channel in self.channels:
            at = self.random.expovariate(rate / DAY)
            while at < quiet:
                until = at + self._length()
                self.at(at, "channel", (channel, False))
                self.at(until, "channel", (channel, True))
                at = until + self.random.expovariate(rate / DAY)
        for kind, per_day in (("kill", rate), ("step", rate / 10), ("fill", rate / 5), ("plan", rate / 5)):
            at = self.random.expovariate(per_day / DAY)
            while at < quiet:
                self.at(at, kind)
                at += self.random.expovariate(per_day / DAY)

    def _outage(self, name: str, at: float, quiet: float) -> float:
        for _ in range(self.random.choice((1, 1, 1, 2, 8))):  # mostly one break, sometimes flapping
            until = min(at + self._length(), quiet)
            self.at(at, "part", (name, True))
            self.at(until, "part", (name, False))
            at = until + self.random.uniform(1.0, 120.0)
            if at >= quiet:
                break
        if self.random.random() < 0.1:  # a kill right at the worst moments
            self.at(until + self.random.uniform(0.0, 30.0), "kill")
        return at

    def _length(self) -> float:
        return self.random.choice((5.0, 20.0, 60.0, 900.0, 2400.0, 7200.0)) * self.random.uniform(0.3, 2.0)

    # -- the watcher's life -------------------------------------------------------------------------------

    def _start(self, _: Any = None) -> None:
        if self.alive:
            return
        self.engine = Engine(
            self.disk,
            self.clock,
            {"desk": ["push", "sms"], "supervisor": ["email"]},
            timedelta(seconds=FAULT_AFTER),
        )
        self.alive = True
        self._life += 1
        self._wake_at = float("inf")
        self.lives.append([self.clock.true, float("inf")])
        self._looked_at = self.clock.true
        if self._drive(self.engine.start()):
            self._look()

    def _kill(self, _: Any = None) -> None:
        if not self.alive:
            return
        if self.random.random() < 0.5:
            self._look()  # a beat of any age up to one probe: it died some time after it
            self.clock.true += self.random.uniform(0.0, PROBE)
            if not self.alive:
                return
        else:
            self._look()
        self._die()

    def _die(self) -> None:
        self.alive = False
        self.engine = None
        self.lives[-1][1] = self.clock.true
        self.report.kills += 1
        self.at(self.clock.true + self._down_for(), "start")

    def _down_for(self) -> float:
        return self.random.choice((0.5, 3.0, 30.0, 600.0, 3000.0)) * self.random.uniform(0.5, 1.5)

    def _drive(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a step of the engine; at each of its awaits it may be killed. Return its result in a list."""
        deadly = self.random.random() < 0.01
        try:
            while True:
                work.send(None)
                if deadly and self.random.random() < 0.5:
                    work.close()
                    self._die()
                    return None
        except StopIteration as stop:
            return [stop.value]

    @staticmethod
    def _finish(work: Coroutine[Any, Any, Any]) -> None:
        with contextlib.suppress(StopIteration):
            while True:
                work.send(None)

    def _look(self) -> None:
        """What the probe loop does: look at everything, then send what is due."""
        if self.engine is None:
            return
        now = self.clock.true
        if now - self._looked_at > PROBE:  # all the looks since then found the same; the last of them counts
            self.clock.true = now - self.random.uniform(0.0, PROBE)
            self._finish(self.engine.observe(self._readings))
            self.clock.true = now
        self._looked_at = now
        self._readings = {name: _BAD if self.bad[name] else _GOOD for name in PARTS}
        if self._drive(self.engine.observe(self._readings)) is None:
            return
        self._send_due()

    def _send_due(self, _: Any = None) -> None:
        if self.engine is None:
            return
        found = self._drive(self.engine.due())
        if found is None:
            return
        for one in found[0]:
            self._send(one)
        self._schedule()

    def _schedule(self) -> None:
        """Wake up when the engine has something due, or a judgement can change."""
        engine = self.engine
        if engine is None:
            return
        now = self.clock.true
        soon = engine.next_moment()
        moments = []
        if soon is not None:
            moments.append((soon - self.clock.now()).total_seconds() + now)
        for name in PARTS:
            component = engine.book.components.get(name)
            if component is None:
                continue
            down = engine.book.probed(name) is not None
            if self.bad[name] != down:  # something is on its way to be found out
                if component.good_since is not None:
                    soon = component.good_since + min(calm(component.flaps), CALM * 8)
                    wait = (soon - self.clock.now()).total_seconds()
                else:
                    known = max(component.good_at, engine.watching_since)
                    wait = (known - self.clock.now()).total_seconds() + FAULT_AFTER
                moments.append(now + max(wait, 0.0) + self.random.uniform(0.01, PROBE))
        if moments:
            at = max(min(moments), now + 0.01)
            if at < self._wake_at - 0.001 or self._wake_at <= now:
                self._wake_at = at
                self.at(at, "wake", self._life)

    def _wake(self, life: int) -> None:
        if life == self._life and self.alive:
            self._wake_at = float("inf")
            self._look()

    # -- what happens to it -------------------------------------------------------------------------------

    def _part(self, change: tuple[str, bool]) -> None:
        name, bad = change
        if self.bad[name] == bad:
            return
        self._look()  # the last look before it changed
        self.clock.true += self.random.uniform(0.0, 0.5)
        self.bad[name] = bad
        self.history.append((self.clock.true, name, bad))
        self.at(self.clock.true + self.random.uniform(0.0, PROBE), "glance")

    def _glance(self, _: Any) -> None:
        self._look()

    def _channel(self, change: tuple[Channel, bool]) -> None:
        channel, up = change
        channel.up = up
        channel.loses_answers = not up and self.random.random() < 0.3
        self.channel_history[channel.name].append((self.clock.true, up))

    def _step(self, _: Any) -> None:
        self._look()
        self.clock.offset += self.random.choice((-3600.0, -600.0, 45.0, 3600.0, 86_400.0))
        self.stepped.append(self.clock.true)
        self._look()

    def _fill(self, _: Any) -> None:
        self._look()
        self.disk.full = True
        self.disk_full.append([self.clock.true, float("inf")])
        self.at(self.clock.true + self._length(), "empty")

    def _empty(self, _: Any) -> None:
        self.disk.full = False
        self.disk_full[-1][1] = self.clock.true
        self._look()

    def _plan(self, _: Any) -> None:
        if self.engine is None:
            return
        now = self.clock.now()
        planned = Maintenance(
            f"plan-{self.clock.true:.0f}",
            self.random.choice(PARTS),
            now + timedelta(hours=1),
            now + timedelta(hours=3),
            "升级",
            "sup1",
            now,
        )
        self._drive(self.engine.change([planned]))

    # -- channels -----------------------------------------------------------------------------------------

    def _send(self, one: Try) -> None:
        self.at(self.clock.true + self.random.uniform(0.05, 4.0), "arrive", (self._life, one))

    def _arrive(self, sent: tuple[int, Try]) -> None:
        life, one = sent
        channel = next(found for found in self.channels if found.name == one.delivery.channel)
        taken = channel.up or channel.loses_answers
        if life != self._life and self.random.random() < 0.5:
            taken = False  # it was killed before the request left
        if taken:
            channel.taken.append((self.clock.true, one.duty.id))
        if life != self._life or not self.alive or self.engine is None:
            return
        if channel.up:
            outcome = Outcome(proof=f"{channel.name} 250 ok", by=channel.name)
        else:
            outcome = Outcome(error="timeout")
        if self._drive(self.engine.settle(one, outcome)) is not None:
            self._send_due()


def quiet() -> None:
    """Log nothing: a year has thousands of lines."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )


def faults_of(disk: Disk) -> list[Fault]:
    """Return every fault in a journal."""
    return [record for record in disk.kept.values() if isinstance(record, Fault)]
