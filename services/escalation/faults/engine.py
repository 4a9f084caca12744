"""The one place where faults, duties and deliveries change: decide, write to the journal, then act (C4).

It keeps no time of its own and sends nothing: `observe` takes what the probes found, `due` says which notices
go out now, `settle` takes what became of each. Every step is in the journal before its effect, so a crash at
any moment leaves either the step not begun or its duty standing. When the journal cannot be written (the disk
is full) the steps are kept in mind and go out all the same: silence would be worse than a duplicate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from services.common.clock import Clock
from services.common.ids import new_id
from services.escalation.faults import machine
from services.escalation.faults.book import OWN_BEAT, Book
from services.escalation.faults.deadlines import released, risen, shifted, silenced
from services.escalation.faults.detection.judge import Reading, calm, judge
from services.escalation.faults.duties import owed_for
from services.escalation.faults.metrics import FAULTS_FOUND, JOURNAL_UNSAVED, NOTICE_SECONDS
from services.escalation.faults.pair.contract import Alone, Pairing
from services.escalation.faults.pair.identity import fault_id
from services.escalation.faults.pair.joined import Shared
from services.escalation.faults.pair.news import Key, all_over, taken
from services.escalation.faults.parts import part
from services.escalation.faults.policy import FINAL, LEASE, pause, verdict
from services.escalation.faults.records import (
    UNKEPT,
    Audience,
    Beat,
    Component,
    Delivery,
    Duty,
    Fault,
    Maintenance,
    Record,
)

log = structlog.get_logger(__name__)

STEP = 2.0
"""Seconds the wall clock may differ from the monotonic one before it counts as having been set."""


class Store(Protocol):
    """Where records are kept: the SQLite journal, or the simulation's."""

    async def load(self) -> Sequence[Record]:
        """Return every record that is not settled."""

    async def write(self, records: Sequence[Record]) -> None:
        """Keep records, all or none, on the disk before it returns. Raises OSError or what SQLite raises."""

    async def known(self, keys: Sequence[tuple[type[Record], str]]) -> Sequence[Record]:
        """Return the records of these kinds and ids that there are, settled ones too."""


@dataclass(frozen=True, slots=True)
class Try:
    """One notice to be sent on one channel now."""

    delivery: Delivery
    duty: Duty
    subject: Fault | Maintenance


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try: `proof` says who took it and what was answered; empty: `error` says why not."""

    proof: str = ""
    by: str = ""
    error: str = ""


async def _nothing_known(_: Fault) -> str:
    return ""


class Engine:
    """Faults and duties of one machine. `channels` are the names of the channels of each audience.

    `patience`: parts that may be bad for another time than `fault_after` before a fault opens.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channels: Mapping[Audience, Sequence[str]],
        fault_after: timedelta,
        *,
        patience: Mapping[str, timedelta] | None = None,
        losses: Callable[[Fault], Awaitable[str]] = _nothing_known,
        own_name: str = "escalation",
        pair: Pairing | None = None,
    ) -> None:
        self._pair = pair or Alone()
        self.book = Book(self._pair.machine)
        self.book.held = self._pair.held
        self.watching_since = clock.now()
        self._store = store
        self._clock = clock
        self._channels = channels
        self._fault_after = fault_after
        self._patience = patience or {}
        self._losses = losses
        self._own_name = own_name
        self._lock = asyncio.Lock()
        self._has_read = False
        self._unsaved: dict[tuple[type[Record], str], Record] = {}
        self._listeners: list[Callable[[], None]] = []
        self._last = (clock.now(), clock.monotonic())

    @property
    def audiences(self) -> str:
        """Who is told of a fault that is downtime for the desk."""
        return "desk,supervisor"

    @property
    def unsaved(self) -> int:
        """How many records the journal could not take yet."""
        return len(self._unsaved)

    def reaches(self, audience: Audience) -> bool:
        """Whether there is a channel to an audience."""
        return bool(self._channels.get(audience))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when a duty may have become due."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Read the journal; the gap since the last beat is a fault of our own, with its own 30 minutes."""
        async with self._lock:
            self.watching_since = self._clock.now()
            await self._read()

    async def _read(self) -> None:
        """Take up what the journal has. One that cannot be read now is read at the next look."""
        try:
            records = await self._store.load()
        except Exception as error:
            log.error("journal_unreadable", error=repr(error))  # noqa: TRY400
            return
        self._has_read = True
        self.book.apply(record for record in records if (type(record), record.id) not in self._unsaved)
        now = self._clock.now()
        changed: list[Record] = list(released(self.book, now))
        last = next((record.at for record in records if isinstance(record, Beat)), None)
        if last is not None:
            self._pair.missed(abs(self.watching_since - last))
        if last is not None and abs(self.watching_since - last) > self._fault_after:
            changed += await self._gap(min(last, self.watching_since), self.watching_since)
        await self._save([*changed, Beat(OWN_BEAT, now)])

    async def observe(self, readings: Mapping[str, Reading]) -> None:
        """Judge what the probes found, and note that this watcher is alive."""
        async with self._lock:
            await self._follow_clock()
            if not self._has_read:
                await self._read()
            now = self._clock.now()
            records: list[Record] = [Beat(OWN_BEAT, now)]
            for name, reading in self._pair.seen(readings).items():
                records += await self._judge(name, reading, now)
            await self._save(records)

    async def due(self) -> list[Try]:
        """Return the notices that go out now, each claimed in the journal."""
        async with self._lock:
            await self._follow_clock()
            now = self._clock.now()
            await self._save(list(risen(self.book, self._channels, now)))
            records: list[Record] = []
            tries: list[Try] = []
            for delivery in self.book.pending.values():
                duty = self.book.duties.get(delivery.duty)
                if duty is None:
                    continue
                reason = verdict(self.book, duty, delivery, now)
                if reason in FINAL:
                    state = machine.follow(machine.DELIVERIES, delivery.state, "supersede")
                    records.append(replace(delivery, state=state, error=str(reason)))
                elif reason is None and delivery.channel in self._channels.get(duty.audience, ()):
                    subject = self.book.subject(duty)
                    if subject is None:
                        continue  # the other machine tells of it in its next message
                    claimed = replace(delivery, tries=delivery.tries + 1, next_try_at=now + LEASE)
                    records.append(claimed)
                    tries.append(Try(claimed, duty, subject))
            await self._save(records)
            self.book.forget(now)
            return tries

    async def settle(self, done: Try, outcome: Outcome) -> None:
        """Record what became of a try."""
        async with self._lock:
            await self._follow_clock()
            now = self._clock.now()
            delivery = self.book.deliveries.get(done.delivery.id)
            if delivery is None:
                return  # settled and dropped meanwhile: the journal has an earlier proof
            if outcome.proof:
                await self._save(self.proved(delivery, now, outcome.proof, outcome.by))
            elif delivery.state == "pending" and delivery.tries == done.delivery.tries:
                later = now + pause(delivery.tries)
                await self._save([replace(delivery, next_try_at=later, error=outcome.error[:200])])

    async def change(self, records: Iterable[Record]) -> None:
        """Write records that a person or an event brought."""
        async with self._lock:
            await self._save(list(records))

    async def receive(self, records: Sequence[Shared]) -> list[Shared]:
        """Take over what the other machine knows; return what it does not know of the same things."""
        async with self._lock:
            await self._follow_clock()
            news, answers = await taken(self.book, records, self._known)
            await self._save(news, own=False)
            now = self._clock.now()
            over = all_over(self.book, news)
            await self._save([record for fault in over for record in self.recovered(fault, now)])
            return answers

    def open(self, fault: Fault) -> Iterator[Record]:
        """Return a new fault with what is owed for it; planned when announced work covers its beginning."""
        planned = self.book.window(fault.component, fault.began_at) or self.book.window(
            fault.component, fault.detected_at
        )
        if planned is not None:
            fault = replace(fault, planned=True, planned_until=planned.ends_at)
        FAULTS_FOUND.labels(fault.component, "drill" if fault.drill else fault.source).inc()
        log.error("fault_opened", fault=fault.id, component=fault.component, reason=fault.reason)
        yield fault
        yield from owed_for(fault)

    def recovered(self, fault: Fault, at: datetime, lost: str = "") -> Iterator[Record]:
        """Return a fault as recovered at a moment, with what is owed for that."""
        state = machine.follow(machine.FAULTS, fault.state, "recover")
        if fault.state == "recovered":
            return
        fault = replace(fault, state=state, recovered_at=max(at, fault.began_at), lost=lost)
        log.warning("fault_recovered", fault=fault.id, component=fault.component)
        yield fault
        yield from (duty for duty in owed_for(fault) if duty.kind == "recovery")

    def proved(self, delivery: Delivery, now: datetime, proof: str, by: str) -> list[Record]:
        """Return a delivery with its proof; the duty is kept by the first one, and its alarms are void."""
        first = delivery.state != "delivered"
        state = machine.follow(machine.DELIVERIES, delivery.state, "prove")
        if not first:
            return []
        records: list[Record] = [
            replace(
                delivery,
                state=state,
                delivered_at=now,
                proof=proof[:500],
                by=by,
                error="",
                machine=self._pair.machine,
            )
        ]
        duty = self.book.duties.get(delivery.duty)
        if duty is None or duty.state not in UNKEPT:
            return records
        if duty.state == "pending" and now > duty.due_at:
            duty = replace(duty, state=machine.follow(machine.DUTIES, duty.state, "lapse"))
        kept = machine.follow(machine.DUTIES, duty.state, "prove")
        records.append(replace(duty, state=kept, kept_at=now, kept_by=delivery.channel))
        NOTICE_SECONDS.labels(duty.kind, duty.audience).observe(max(0.0, (now - duty.since).total_seconds()))
        return [*records, *silenced(self.book, duty)]

    async def _judge(self, name: str, reading: Reading, now: datetime) -> list[Record]:
        known = self.book.components.get(name)
        component = known if known is not None else Component(name, good_at=now)
        fault = self.book.probed(name)
        patience = self._patience.get(name, self._fault_after)
        judged = judge(
            component,
            reading,
            now,
            down=fault is not None,
            watching_since=self.watching_since,
            fault_after=patience,
        )
        records: list[Record] = [judged.component] if judged.component != known else []
        if judged.finding == "fault_opened":
            if self._pair.waits(name, component.good_at + patience, now):
                return []
            records += self.open(await self._found(judged.component, reading.detail, component.good_at, now))
        elif fault is not None and reading.health == "bad":
            since = self._told_anew_since(name, now)
            if since is not None:
                reason = f"{reading.detail}（本机离线期间另一台的通知无法确认，重新告知）"
                records += self.open(await self._found(judged.component, reason, since, now))
        elif judged.finding == "recovered":
            since = component.good_since or now
            if self._pair.waits(name, since + calm(component.flaps), now):
                return []
            at = judged.component.recovered_at or now
            # More than one is open when the journal could not be read at the start.
            for one in [one for one in self.book.faults.values() if self._found_open(one, name)]:
                records += self.recovered(one, at, await self.lost(one, at))
        return records

    async def _found(self, component: Component, reason: str, began_at: datetime, now: datetime) -> Fault:
        downtime = self._pair.downtime(component.id)
        return Fault(
            id=await self._free_id(component.id, began_at, component.flaps),
            component=component.id,
            reason=reason[-200:],
            began_at=began_at,
            detected_at=now,
            source="probe",
            audiences=self.audiences if downtime else "supervisor",
            downtime=downtime,
            flaps=component.flaps,
            machine=self._pair.machine,
        )

    def _told_anew_since(self, component: str, now: datetime) -> datetime | None:
        """Return since when a fault has to be told anew, though it is open here; None: it has not.

        While this machine was away the other one may have told its end, and be away itself now: the desk
        would believe that all is well. A notice too many is allowed, none is not.
        """
        since = self._pair.uninformed_since(now)
        if since is None or not self._pair.downtime(component):
            return None
        known = [one for one in self.book.faults.values() if self._found_open(one, component)]
        return None if any(one.detected_at >= since for one in known) else since

    def _found_open(self, fault: Fault, component: str) -> bool:
        found = fault.component == component and fault.source == "probe" and fault.state == "open"
        return found and self.book.ours(fault)

    async def _free_id(self, component: str, began_at: datetime, flaps: int) -> str:
        """Return the id of a new fault: what the other machine gives it too, if it finds it by itself."""
        machine = self._pair.machine if part(component).local else ""
        found = fault_id(component, began_at, flaps, machine)
        # A clock that was put back may come by the same moment again.
        return new_id() if (await self._known([(Fault, found)])) else found

    async def _known(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """Return these records as they stand; what is settled is in the journal alone."""
        found: dict[Key, Any] = {}
        for kind, record_id in keys:
            record = self.book.shared(kind, record_id)
            if record is not None:
                found[kind, record_id] = record
        missing = [key for key in keys if key not in found]
        if missing:
            try:
                kept = await self._store.known(missing)
            except Exception as error:  # what it says cannot be known: at worst a notice goes out again
                log.error("journal_unreadable", error=repr(error))  # noqa: TRY400
            else:
                found |= {(type(record), record.id): record for record in kept}
        return found

    async def lost(self, fault: Fault, at: datetime) -> str:
        """Return what a fault that is over at a moment cost, as far as can be known."""
        return await self._losses(replace(fault, recovered_at=max(at, fault.began_at)))

    async def _gap(self, began_at: datetime, now: datetime) -> list[Record]:
        covered = self._pair.covered(began_at, now)
        downtime = part(self._own_name).downtime and not covered
        fault = Fault(
            id=new_id(),
            component=self._own_name,
            reason="进程中断，期间由另一台值守" if covered else "进程中断",
            began_at=began_at,
            detected_at=now,
            source="gap",
            audiences=self.audiences if downtime else "supervisor",
            downtime=downtime,
            machine=self._pair.machine,
        )
        opened = list(self.open(fault))
        found = next(record for record in opened if isinstance(record, Fault))
        return [*opened, *self.recovered(found, now, await self.lost(found, now))]

    async def _follow_clock(self) -> None:
        """Move what is measured by the wall clock along when somebody set it."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        was_wall, was_monotonic = self._last
        self._last = (wall, monotonic)
        step = (wall - was_wall) - timedelta(seconds=monotonic - was_monotonic)
        if abs(step.total_seconds()) <= STEP:
            return
        log.error("clock_was_set", seconds=step.total_seconds())
        self.watching_since += step
        await self._save(list(shifted(self.book, step)))

    async def _save(self, records: Sequence[Record], *, own: bool = True) -> None:
        if not records and not self._unsaved:
            return
        if own:
            self._pair.changed(records)
        for record in records:
            self._unsaved[type(record), record.id] = record
        self.book.apply(records)
        if not self._has_read:
            return  # what is in the journal is not known: writing over it could lose a duty
        try:
            await self._store.write(list(self._unsaved.values()))
        except Exception as error:  # whatever the disk does to us, the notices go out
            JOURNAL_UNSAVED.set(len(self._unsaved))
            log.error("journal_unwritable", error=repr(error), records=len(self._unsaved))  # noqa: TRY400
        else:
            self._unsaved.clear()
            JOURNAL_UNSAVED.set(0)
        if any(isinstance(record, Duty) for record in records):
            for listener in self._listeners:
                listener()
