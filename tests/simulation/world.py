"""A year of faults in virtual time around the real engine: parts break and flap, channels refuse, the watcher
is killed at any write or between two, its clock is set, its disk is full. One seed decides everything.

In every other year there are two machines: cut off from each other or from the desk, frozen, with a clock set
wrong, with a disk that is lost. What they keep is merged into one database now and then.

Time moves from event to event; between events nothing would change, so nothing is looked at.
"""

import heapq
import itertools
import logging
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.engine import Outcome, Try
from services.escalation.faults.merge import Row
from services.escalation.faults.pair.joined import joined
from services.escalation.faults.pair.messages import MAX_APART
from services.escalation.faults.records import Audience, Beat, Component, Fault, Maintenance
from tests.simulation.machine import FAULT_AFTER, PROBE, START, Kept, Key, Machine

__all__ = ["DAY", "FAULT_AFTER", "PROBE", "START", "World", "quiet"]

DAY = 86_400.0
EVERY = 1.0
"""Seconds between two words of the machines."""
PARTS = ("movecar", "outbound", "database", "redis", "pbx", "registry", "disk", "recordings")
_BAD, _GOOD = Reading("bad", "down"), Reading("good")


@dataclass
class Channel:
    """One way to one audience. `taken` is what its far end has seen: (true time, notice id, machine)."""

    name: str
    audience: Audience
    up: bool = True
    loses_answers: bool = False
    taken: list[tuple[float, str, str]] = field(default_factory=list)


@dataclass
class Report:
    """What happened in a year."""

    seed: int
    machines: int = 1
    faults: int = 0
    kills: int = 0
    notices: int = 0
    duplicates: int = 0
    twice: int = 0
    broken: list[str] = field(default_factory=list)


class World:
    """One seed's year. `run` returns what it found; `broken` names every invariant that did not hold."""

    def __init__(self, seed: int, days: float = 365.0) -> None:
        self.random = random.Random(seed)
        self.true = 0.0
        self.end = days * DAY
        self.ever: dict[str, Fault] = {}
        self.machines: list[Machine] = []
        if seed % 2:
            self.machines.append(Machine(self, "active"))
            self.machines.append(Machine(self, "standby"))
        else:
            self.machines.append(Machine(self, None))
        self.report = Report(seed, len(self.machines))
        # A machine's own disk is not what the other one looks at: see the unit tests.
        self.parts = tuple(name for name in PARTS if name != "disk" or len(self.machines) == 1)
        self.bad: dict[str, bool] = dict.fromkeys(self.parts, False)
        self.readings: dict[str, Reading] = dict.fromkeys(self.parts, _GOOD)
        self.history: list[tuple[float, str, bool]] = []
        self.channels = [Channel("push", "desk"), Channel("sms", "desk"), Channel("email", "supervisor")]
        self.channel_history: dict[str, list[tuple[float, bool]]] = {
            channel.name: [(0.0, True)] for channel in self.channels
        }
        self.wire = True
        self.parted_at: list[float] = []
        self.stepped: list[float] = []
        self.disk_full: list[list[float]] = []
        self.ledger: dict[Key, Row] = {}
        self._talking = False
        self._asked = False
        self._events: list[tuple[float, int, str, Any]] = []
        self._order = itertools.count()

    # -- time ---------------------------------------------------------------------------------------------

    def at(self, when: float, kind: str, data: Any = None) -> None:
        """Let something happen at a moment."""
        if when < self.end:
            heapq.heappush(self._events, (when, next(self._order), kind, data))

    def run(self) -> Report:
        """Live through the year, then let everything heal and be told."""
        self._imagine()
        does = {name: getattr(self, f"_{name}") for name in _EVENTS}
        for machine in self.machines:
            machine.start()
        while self._events:
            when, _, kind, data = heapq.heappop(self._events)
            self.true = max(self.true, when)
            does[kind](data)
        for machine in self.machines:
            machine.disk.merge(self.ledger, noted=True)
        return self.report

    def _imagine(self) -> None:
        """Decide what will go wrong and when. The last two days are quiet, so that all can be told."""
        quiet = self.end - 2 * DAY
        rate = self.random.choice((0.004, 0.01, 0.03))  # a day
        for name in self.parts:
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
        self._sometimes("plan", rate / 5, quiet)
        self._sometimes("merge", 0.05, self.end)
        for machine in self.machines:
            self._sometimes("kill", rate, quiet, machine)
            self._sometimes("step", rate / 10, quiet, machine)
            self._sometimes("fill", rate / 5, quiet, machine)
            if machine.role is not None:
                self._sometimes("freeze", rate / 2, quiet, machine)
                self._sometimes("isolate", rate / 2, quiet, machine)
        if len(self.machines) > 1:
            self._sometimes("cut", rate, quiet)

    def _sometimes(self, kind: str, per_day: float, quiet: float, data: Any = None) -> None:
        at = self.random.expovariate(per_day / DAY)
        while at < quiet:
            self.at(at, kind, data)
            at += self.random.expovariate(per_day / DAY)

    def _outage(self, name: str, at: float, quiet: float) -> float:
        for _ in range(self.random.choice((1, 1, 1, 2, 8))):  # mostly one break, sometimes flapping
            until = min(at + self._length(), quiet)
            self.at(at, "part", (name, True))
            self.at(until, "part", (name, False))
            at = until + self.random.uniform(1.0, 120.0)
            if at >= quiet:
                break
        if self.random.random() < 0.2:  # something else right at the worst moment
            for machine in self.machines:
                kind = "kill" if machine.role is None else self.random.choice(("kill", "freeze", "isolate"))
                if self.random.random() < 0.5:
                    self.at(until + self.random.uniform(-30.0, 30.0), kind, machine)
            if len(self.machines) > 1 and self.random.random() < 0.5:
                self.at(until + self.random.uniform(-60.0, 30.0), "cut")
        return at

    def _length(self) -> float:
        return self.random.choice((5.0, 20.0, 60.0, 900.0, 2400.0, 7200.0)) * self.random.uniform(0.3, 2.0)

    # -- between the machines -----------------------------------------------------------------------------

    @property
    def linked(self) -> bool:
        """Whether the machines can talk, and would believe each other."""
        if len(self.machines) == 1:
            return False
        one, other = self.machines
        near = abs(one.clock.offset - other.clock.offset) <= MAX_APART
        return self.wire and one.awake and other.awake and near

    def talk(self) -> None:
        """One question and its answer. They talk every second; only what matters is played."""
        if self._talking or not self.linked:
            return
        self._talking = True
        one, other = self.machines
        if one.pair is not None and other.pair is not None:
            question = one.pair.say()
            if other.hear(question):
                one.hear(other.pair.say(answers=question.name), question.name)
        self._talking = False

    def talk_over(self) -> None:
        """Talk until each has what the other knows."""
        for _ in range(10):
            self.talk()
            if not self.linked or all(m.pair is None or m.pair.settled for m in self.machines):
                break

    def when_owed(self) -> None:
        """Let them talk soon when one has something to tell."""
        if (
            not self._asked
            and self.linked
            and not all(m.pair is None or m.pair.settled for m in self.machines)
        ):
            self._asked = True
            self.at(self.true + self.random.uniform(0.01, EVERY), "chat")

    def greet(self, machine: Machine) -> None:
        """Before a process does anything it hears what the other machine did meanwhile."""
        if not self.linked or machine.pair is None:
            return
        other = next(one for one in self.machines if one is not machine)
        if other.pair is not None and machine.pair is not None:
            question = machine.pair.say()
            if other.hear(question) and machine.pair is not None and other.pair is not None:
                answer = other.pair.say(answers=question.name)
                machine.pair.hear(answer, question.name)

    def before_parting(self) -> None:
        """They spoke last up to a second ago."""
        if self.linked and not self._talking:
            now = self.true
            self.true = now - self.random.uniform(0.0, EVERY)
            self.talk()
            self.true = now

    def parted(self) -> None:
        """Each finds out in its time that the other is silent."""
        if len(self.machines) == 1:
            return
        self.parted_at.append(self.true)
        for machine in self.machines:
            if machine.awake:
                machine.schedule()

    def _met(self) -> None:
        self.talk_over()
        for machine in self.machines:
            machine.look()

    # -- what happens -------------------------------------------------------------------------------------

    def _start(self, machine: Machine) -> None:
        machine.start()
        if self.linked:
            self._met()

    def _kill(self, machine: Machine) -> None:
        machine.kill()

    def _freeze(self, machine: Machine) -> None:
        if machine.awake:
            machine.freeze()
            self.at(self.true + self._length(), "thaw", machine)

    def _thaw(self, machine: Machine) -> None:
        machine.thaw()
        if self.linked:
            self._met()

    def _wake(self, woken: tuple[Machine, int, float]) -> None:
        machine, life, at = woken
        machine.wake(life, at)

    def _due(self, woken: tuple[Machine, int, float]) -> None:
        machine, life, at = woken
        machine.wake_to_send(life, at)

    def _chat(self, _: Any) -> None:
        self._asked = False
        self.talk()
        self.when_owed()

    def _glance(self, machine: Machine) -> None:
        machine.look()

    def _part(self, change: tuple[str, bool]) -> None:
        name, bad = change
        if self.bad[name] == bad:
            return
        for machine in self.machines:
            machine.catch_up()
        self.true += self.random.uniform(0.0, 0.5)
        self.bad[name] = bad
        self.readings = {part: _BAD if self.bad[part] else _GOOD for part in self.parts}
        self.history.append((self.true, name, bad))
        for machine in self.machines:
            self.at(self.true + self.random.uniform(0.0, PROBE), "glance", machine)

    def _channel(self, change: tuple[Channel, bool]) -> None:
        channel, up = change
        channel.up = up
        channel.loses_answers = not up and self.random.random() < 0.3
        self.channel_history[channel.name].append((self.true, up))

    def _isolate(self, machine: Machine) -> None:
        """Cut a machine off from the desk, not from the other machine."""
        if machine.uplink[-1][1]:
            machine.uplink.append((self.true, False))
            self.at(min(self.true + self._length(), self.end - DAY), "join", machine)

    def _join(self, machine: Machine) -> None:
        machine.uplink.append((self.true, True))

    def _cut(self, _: Any) -> None:
        if self.wire:
            self.before_parting()
            self.wire = False
            self.parted()
            self.at(min(self.true + self._length(), self.end - DAY), "mend")

    def _mend(self, _: Any) -> None:
        self.wire = True
        if self.linked:
            self._met()

    def _step(self, machine: Machine) -> None:
        machine.look()
        self.before_parting()
        by = self.random.choice((-3600.0, -600.0, 45.0, 3600.0, 86_400.0))
        self._set_clock(machine, by)
        if machine.role is not None:  # and somebody notices
            self.at(self.true + self._length(), "unstep", (machine, by))

    def _unstep(self, stepped: tuple[Machine, float]) -> None:
        machine, by = stepped
        machine.look()
        self.before_parting()
        self._set_clock(machine, -by)

    def _set_clock(self, machine: Machine, by: float) -> None:
        machine.clock.offset += by
        self.stepped.append(self.true)
        self.parted()
        machine.look()
        if self.linked:
            self._met()

    def _fill(self, machine: Machine) -> None:
        machine.look()
        machine.disk.full = True
        self.disk_full.append([self.true, float("inf")])
        self.at(self.true + self._length(), "empty", (machine, machine.disk, self.disk_full[-1]))

    def _empty(self, filled: tuple[Machine, Any, list[float]]) -> None:
        machine, disk, span = filled
        disk.full = False
        span[1] = self.true
        machine.look()

    def _plan(self, _: Any) -> None:
        machine = self.random.choice(self.machines)
        if machine.engine is None or not machine.awake:
            return
        now = machine.clock.now()
        name, begins = self.random.choice(self.parts), now + timedelta(hours=1)
        planned = Maintenance(
            f"plan-{self.true:.0f}", name, begins, begins + timedelta(hours=2), "升级", "sup1", now
        )
        machine.drive(machine.engine.change([planned]))

    def _merge(self, _: Any) -> None:
        for machine in self.random.sample(self.machines, len(self.machines)):
            machine.disk.merge(self.ledger, noted=self.random.random() < 0.8)

    def _arrive(self, sent: tuple[Machine, int, Try]) -> None:
        machine, life, one = sent
        channel = next(found for found in self.channels if found.name == one.delivery.channel)
        reached = machine.uplink[-1][1]
        taken = reached and (channel.up or channel.loses_answers)
        if life != machine.life and self.random.random() < 0.5:
            taken = False  # it was killed before the request left
        if taken:
            channel.taken.append((self.true, one.duty.id, machine.role or ""))
        if life != machine.life or not machine.alive:
            return
        if channel.up and reached:
            machine.settle(one, Outcome(proof=f"{channel.name} 250 ok", by=channel.name))
        else:
            machine.settle(one, Outcome(error="timeout"))

    # -- afterwards ---------------------------------------------------------------------------------------

    def records(self) -> Kept:
        """Return what both disks have, put together; parts and beats are each machine's own."""
        found: Kept = {}
        for machine in self.machines:
            for key, record in machine.disk.kept.items():
                if not isinstance(record, Component | Beat):
                    found[key] = joined(found[key], record) if key in found else record
        return found


_EVENTS = (
    "start",
    "kill",
    "freeze",
    "thaw",
    "wake",
    "due",
    "chat",
    "glance",
    "part",
    "channel",
    "isolate",
    "join",
    "cut",
    "mend",
    "step",
    "unstep",
    "fill",
    "empty",
    "plan",
    "merge",
    "arrive",
)


def quiet() -> None:
    """Log nothing: a year has thousands of lines."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL), cache_logger_on_first_use=False
    )


def faults_of(records: Kept) -> list[Fault]:
    """Return every fault among records."""
    return [record for record in records.values() if isinstance(record, Fault)]
