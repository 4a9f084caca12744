"""What must hold of a simulated year (C4). Each function yields a sentence for every time it did not."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from services.escalation.faults.detection.judge import LONGEST_CALM, calm
from services.escalation.faults.duties import ALARMS, PROMISE
from services.escalation.faults.merge import Row, merged
from services.escalation.faults.pair.pair import HOLD, LONGEST_SILENCE
from services.escalation.faults.parts import part
from services.escalation.faults.records import Delivery, Duty, Fault, Maintenance
from tests.simulation.machine import FAULT_AFTER, PROBE, START, Machine
from tests.simulation.world import DAY, World, faults_of

ENOUGH = FAULT_AFTER + 2 * PROBE + 40.0 + 30.0
"""Seconds of watcher and channel both up that are enough to find a fault out and give its notice: until a
fault opens, a lease that runs out, the longest pause."""
TAKE_OVER = LONGEST_SILENCE + 2 * HOLD.total_seconds()
"""Seconds more that a standby may need: to leave the finding and then the giving to the active machine."""


def broken(world: World) -> Iterator[str]:
    """Yield every broken invariant."""
    yield from _truth(world)
    yield from _all_told(world)
    yield from _alarms(world)
    yield from _proof(world)
    yield from _planned(world)
    yield from _gaps(world)
    yield from _history(world)


def _true(machine: Machine, moment: datetime) -> float:
    return (moment - START).total_seconds() - machine.clock.offset


def _windows(machine: Machine, audience: str) -> list[tuple[float, float]]:
    """The times at which a machine was up and some channel of the audience too, from there."""
    world = machine.world
    found: list[tuple[float, float]] = []
    names = [channel.name for channel in world.channels if channel.audience == audience]
    cuts = {at for name in names for at, _ in world.channel_history[name]} | {at for at, _ in machine.uplink}
    for born, died in machine.lives:
        edges = [born, *sorted(cut for cut in cuts if born < cut < died), min(died, world.end)]
        start: float | None = None
        for begin, end in pairwise(edges):
            up = _up(machine.uplink, begin) and any(_up(world.channel_history[name], begin) for name in names)
            if up:
                start = begin if start is None else start
            elif start is not None:
                found.append((start, begin))
                start = None
            if end == edges[-1] and start is not None:
                found.append((start, end))
    return found


def _knowing(machine: Machine, fault_id: str) -> list[tuple[float, float]]:
    """The same for the desk, as far as a machine knew of a fault: found it, or was told by the other one.

    With its disk it loses what it knew until it is told again. The one who could tell it may be down just
    then, and what neither knows neither can tell the desk.
    """
    until = [disk.since for disk in machine.disks[1:]] + [machine.world.end]
    knew = [
        (disk.learned[fault_id], end)
        for disk, end in zip(machine.disks, until, strict=True)
        if fault_id in disk.learned
    ]
    return [
        (max(start, begin), min(stop, end))
        for start, stop in _windows(machine, "desk")
        for begin, end in knew
        if max(start, begin) < min(stop, end)
    ]


def _up(history: Sequence[tuple[float, bool]], at: float) -> bool:
    return history[bisect_right(history, (at, True)) - 1][1]


def _could(windows: Sequence[tuple[float, float]], begin: float, end: float, enough: float = ENOUGH) -> bool:
    return any(min(stop, end) - max(start, begin) >= enough for start, stop in windows)


def _truth(world: World) -> Iterator[str]:
    """A part that has been down, or up, for 30 minutes: the desk believes so, if it could be told at all."""
    windows = [window for machine in world.machines for window in _windows(machine, "desk")]
    more = TAKE_OVER if len(world.machines) > 1 else 0.0
    heard: dict[str, list[tuple[float, str]]] = {}
    for channel in world.channels:
        for at, notice, _ in channel.taken if channel.audience == "desk" else ():
            fault = world.ever.get(notice.split("-")[0])
            if fault is not None and fault.source == "probe":
                heard.setdefault(fault.component, []).append((at, notice))
    for name in world.parts:
        if not part(name).downtime:
            continue
        news = sorted(heard.get(name, ()))
        changes = [(0.0, False)]
        changes += [(at, bad) for at, part_name, bad in world.history if part_name == name]
        for (begin, bad), (end, _) in zip(changes, [*changes[1:], (world.end, False)], strict=True):
            deadline = begin + PROMISE.total_seconds()
            # How long a recovery must last depends on how often the part flapped.
            enough = more + (ENOUGH if bad else ENOUGH + LONGEST_CALM.total_seconds())
            if end <= deadline or not _could(windows, begin, deadline, enough):
                continue
            told: dict[str, str] = {}
            for at, notice in news:
                if at > deadline:
                    break
                fault_id, kind, _ = notice.split("-")
                if kind in {"fault", "recovery"} and told.get(fault_id) != "recovery":
                    told[fault_id] = kind
            believed = any(kind == "fault" for kind in told.values())
            if believed != bad and not (believed and _nobody_left(world, told, deadline)):
                yield f"{name} {'down' if bad else 'up'} since {begin:.0f}, the desk believes otherwise"


def _nobody_left(world: World, told: dict[str, str], deadline: float) -> bool:
    """Whether no machine that knew of what the desk still believes was there to take it back."""
    if len(world.machines) == 1:
        return False
    begin = deadline - PROMISE.total_seconds()
    enough = ENOUGH + LONGEST_CALM.total_seconds() + TAKE_OVER
    return not any(
        _could(_knowing(machine, fault_id), begin, deadline, enough)
        for fault_id, kind in told.items()
        if kind == "fault"
        for machine in world.machines
    )


def _all_told(world: World) -> Iterator[str]:
    """After two quiet days every fault is over, and every notice to the desk has been delivered."""
    records = world.records()
    duties = {record.id: record for record in records.values() if isinstance(record, Duty)}
    for fault in faults_of(records):
        if fault.state != "recovered":
            yield f"fault {fault.id} of {fault.component} never recovered"
        for audience in fault.audiences.split(","):
            for kind in ("fault", "recovery"):
                duty = duties.get(f"{fault.id}-{kind}-{audience}")
                if duty is None:
                    yield f"{kind} of {fault.id} was never owed to {audience}"
                elif audience == "desk" and duty.state not in {"kept", "kept_late"}:
                    yield f"{kind} of {fault.id} was never told"
                elif audience == "desk" and duty.state == "kept_late" and not world.stepped:
                    by = [found for found in world.machines if _in_time(found, fault, duty)]
                    if by:
                        yield f"{kind} of {fault.id} could have been told in time by {by[0].role or 'us'}"


def _in_time(machine: Machine, fault: Fault, duty: Duty) -> bool:
    """Whether a machine had the time to tell, whatever the other one did."""
    since = _true(machine, duty.since)
    # The time to find it out counts from when it was there to be found.
    begin = max(since, _true(machine, fault.detected_at) if duty.kind == "fault" else since)
    wait = calm(fault.flaps).total_seconds() if duty.kind == "recovery" else 0.0
    enough = ENOUGH + wait + (TAKE_OVER if machine.role else 0.0)
    return _could(_knowing(machine, fault.id), begin, since + PROMISE.total_seconds(), enough)


def _alarms(world: World) -> Iterator[str]:
    """A person is told at T+10 and T+20 that the desk does not know, and never for what it knows."""
    if world.stepped:
        return
    duties = {record.id: record for record in world.records().values() if isinstance(record, Duty)}
    # Of two machines one may not know that the other has told the desk, or of the duty at all.
    machine, alone = world.machines[0], len(world.machines) == 1
    for duty in duties.values():
        if duty.audience != "desk" or duty.kept_at is None or not alone:
            continue
        for kind, after in ALARMS:
            raised = duties.get(f"{duty.id}-{kind}")
            waited = duty.kept_at - duty.since
            if raised is not None and waited < after:
                yield f"{kind} of {duty.id} although it was told"
            begin, end = _true(machine, duty.since + after), _true(machine, duty.kept_at)
            could = any(min(died, end) - max(born, begin) > 2 * PROBE for born, died in machine.lives)
            if raised is None and could and not _full(world, begin):
                yield f"no {kind} of {duty.id}"


def _full(world: World, at: float) -> bool:
    return any(begin - DAY <= at <= end + DAY for begin, end in world.disk_full)


def _proof(world: World) -> Iterator[str]:
    """What counts as delivered was taken by its channel; by each machine once, if it was not disturbed."""
    by_channel = {
        channel.name: Counter(notice for _, notice, _ in channel.taken) for channel in world.channels
    }
    for record in world.records().values():
        if not isinstance(record, Delivery) or record.state != "delivered":
            continue
        if not record.proof or not by_channel[record.channel][record.duty]:
            yield f"{record.id} counts as delivered and never arrived"
    disturbed = bool(world.disk_full) or any(
        len(machine.lives) > 1 or len(machine.uplink) > 1 for machine in world.machines
    )
    for channel in world.channels:
        by_machine = Counter((notice, machine) for _, notice, machine in channel.taken)
        doubled = sum(count - 1 for count in by_machine.values())
        twice = sum(count > 1 for count in Counter(notice for notice, _ in by_machine).values())
        world.report.duplicates += doubled
        world.report.twice += twice
        lossy = any(not up for _, up in world.channel_history[channel.name])
        if doubled and not lossy and not disturbed:
            yield f"{channel.name} was told {doubled} times too often"
        if twice and not lossy and not disturbed and not world.parted_at:
            yield f"{channel.name} was told {twice} times by both machines, which were never apart"


def _planned(world: World) -> Iterator[str]:
    if world.stepped or len(world.machines) > 1:  # the other one may not know of the plan yet
        return
    records = world.records()
    windows = [record for record in records.values() if isinstance(record, Maintenance)]
    for fault in faults_of(records):
        if fault.source != "probe":
            continue
        inside = any(
            planned.component == fault.component
            and any(planned.begins_at <= at < planned.ends_at for at in (fault.began_at, fault.detected_at))
            for planned in windows
        )
        if inside != fault.planned and not world.disk_full:
            yield f"fault {fault.id} planned={fault.planned}, inside={inside}"


def _gaps(world: World) -> Iterator[str]:
    """Nobody's watching is a fault that began no later than the last watcher's death."""
    if world.stepped or any(machine.lost_disks for machine in world.machines):
        return
    gaps = [fault for fault in faults_of(world.records()) if fault.source == "gap"]
    for died, born, machine in _unwatched(world):
        if born - died <= FAULT_AFTER + PROBE or died < PROBE:  # killed before its very first beat
            continue
        if not any(_covers(gap, machine, died, born) for gap in gaps):
            yield f"nobody was told that nobody watched from {died:.0f} to {born:.0f}"


def _covers(gap: Fault, machine: Machine, died: float, born: float) -> bool:
    since, until = _true(machine, gap.began_at), _true(machine, gap.detected_at)
    return gap.downtime and since <= died + 0.01 and until >= born - 0.01


def _unwatched(world: World) -> Iterator[tuple[float, float, Machine]]:
    """Yield the times at which no process was there; one that was frozen notices nothing."""
    spans: list[tuple[float, float, Machine]] = []
    for machine in world.machines:
        born = machine.lives[0][0]
        for (_, died), (again, _) in pairwise([*machine.lives, [world.end, world.end]]):
            if died not in machine.frozen_at:
                spans.append((born, died, machine))
                born = again
    spans.sort(key=lambda span: span[0])
    until = spans[0][1]
    for born, died, machine in spans[1:]:
        if born > until:
            yield until, born, machine
        until = max(until, died)


def _history(world: World) -> Iterator[str]:
    """The main database has what both journals have: every record, once, and nothing less of it."""
    for key, record in world.records().items():
        if not isinstance(record, Fault | Duty | Delivery):
            continue
        row = world.ledger.get(key)
        if row is None:
            yield f"{record.id} was never merged"
        elif len(world.machines) == 1:
            if row.record != record:
                yield f"{record.id} was merged as something else"
        elif not world.stepped and merged(row, Row(record, 0, -1)).record != row.record:
            yield f"{record.id} was not merged whole"
