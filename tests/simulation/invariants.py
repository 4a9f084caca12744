"""What must hold of a simulated year (C4). Each function yields a sentence for every time it did not."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from services.escalation.faults.detection.judge import LONGEST_CALM, calm
from services.escalation.faults.duties import ALARMS, PROMISE
from services.escalation.faults.parts import part
from services.escalation.faults.records import Delivery, Duty, Maintenance
from tests.simulation.world import DAY, FAULT_AFTER, PARTS, PROBE, START, World, faults_of

ENOUGH = FAULT_AFTER + 2 * PROBE + 40.0 + 30.0
"""Seconds of watcher and channel both up that are enough to find a fault out and give its notice: until a
fault opens, a lease that runs out, the longest pause."""


def broken(world: World) -> Iterator[str]:
    """Yield every broken invariant."""
    yield from _truth(world)
    yield from _all_told(world)
    yield from _alarms(world)
    yield from _proof(world)
    yield from _planned(world)
    yield from _gaps(world)


def _true(world: World, moment: datetime) -> float:
    return (moment - START).total_seconds() - world.clock.offset


def _windows(world: World, audience: str) -> list[tuple[float, float]]:
    """The times at which the watcher was up and some channel of the audience too."""
    found: list[tuple[float, float]] = []
    names = [channel.name for channel in world.channels if channel.audience == audience]
    cuts = sorted({at for name in names for at, _ in world.channel_history[name]})
    for born, died in world.lives:
        edges = [born, *[cut for cut in cuts if born < cut < died], min(died, world.end)]
        start: float | None = None
        for begin, end in pairwise(edges):
            if any(_up(world.channel_history[name], begin) for name in names):
                start = begin if start is None else start
            elif start is not None:
                found.append((start, begin))
                start = None
            if end == edges[-1] and start is not None:
                found.append((start, end))
    return found


def _up(history: Sequence[tuple[float, bool]], at: float) -> bool:
    return history[bisect_right(history, (at, True)) - 1][1]


def _could(windows: Sequence[tuple[float, float]], begin: float, end: float, enough: float = ENOUGH) -> bool:
    return any(min(stop, end) - max(start, begin) >= enough for start, stop in windows)


def _truth(world: World) -> Iterator[str]:
    """A part that has been down, or up, for 30 minutes: the desk believes so, if it could be told at all."""
    faults = {fault.id: fault for fault in faults_of(world.disk)}
    windows = _windows(world, "desk")
    for name in PARTS:
        if not part(name).downtime:
            continue
        heard = sorted(
            (at, notice)
            for channel in world.channels
            if channel.audience == "desk"
            for at, notice in channel.taken
            if (fault := faults.get(notice.split("-")[0])) is not None
            and fault.component == name
            and fault.source == "probe"
        )
        changes = [(0.0, False)]
        changes += [(at, bad) for at, part_name, bad in world.history if part_name == name]
        for (begin, bad), (end, _) in zip(changes, [*changes[1:], (world.end, False)], strict=True):
            deadline = begin + PROMISE.total_seconds()
            # How long a recovery must last depends on how often the part flapped.
            enough = ENOUGH if bad else ENOUGH + LONGEST_CALM.total_seconds()
            if end <= deadline or not _could(windows, begin, deadline, enough):
                continue
            told: dict[str, str] = {}
            for at, notice in heard:
                if at <= deadline:
                    fault_id, kind, _ = notice.split("-")
                    if told.get(fault_id) != "recovery":
                        told[fault_id] = kind
            believed = any(kind == "fault" for kind in told.values())
            if believed != bad:
                yield f"{name} {'down' if bad else 'up'} since {begin:.0f}, the desk believes otherwise"


def _all_told(world: World) -> Iterator[str]:
    """After two quiet days every fault is over, and every notice to the desk has been delivered."""
    records = world.disk.kept.values()
    duties = {record.id: record for record in records if isinstance(record, Duty)}
    windows = _windows(world, "desk")
    for fault in faults_of(world.disk):
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
                    since = _true(world, duty.since)
                    # The time to find it out counts from when it was there to be found.
                    begin = max(since, _true(world, fault.detected_at) if kind == "fault" else since)
                    wait = calm(fault.flaps).total_seconds() if kind == "recovery" else 0.0
                    if _could(windows, begin, since + PROMISE.total_seconds(), ENOUGH + wait):
                        yield f"{kind} of {fault.id} could have been told in time"


def _alarms(world: World) -> Iterator[str]:
    """A person is told at T+10 and T+20 that the desk does not know, and never for what it knows."""
    if world.stepped:
        return
    duties = {record.id: record for record in world.disk.kept.values() if isinstance(record, Duty)}
    alive = world.lives
    for duty in duties.values():
        if duty.audience != "desk" or duty.kept_at is None:
            continue
        for kind, after in ALARMS:
            raised = duties.get(f"{duty.id}-{kind}")
            waited = duty.kept_at - duty.since
            if raised is not None and waited < after:
                yield f"{kind} of {duty.id} although it was told"
            begin = _true(world, duty.since + after)
            could = any(
                min(died, _true(world, duty.kept_at)) - max(born, begin) > 2 * PROBE for born, died in alive
            )
            if raised is None and could and not _full(world, begin):
                yield f"no {kind} of {duty.id}"


def _full(world: World, at: float) -> bool:
    return any(begin - DAY <= at <= end + DAY for begin, end in world.disk_full)


def _proof(world: World) -> Iterator[str]:
    """What counts as delivered was taken by its channel; more than once only for a kill or a lost answer."""
    taken = {channel.name: Counter(notice for _, notice in channel.taken) for channel in world.channels}
    for record in world.disk.kept.values():
        if not isinstance(record, Delivery) or record.state != "delivered":
            continue
        if not record.proof or not taken[record.channel][record.duty]:
            yield f"{record.id} counts as delivered and never arrived"
    excused = len(world.lives) - 1 + len(world.disk_full)
    for channel in world.channels:
        doubled = sum(count - 1 for count in taken[channel.name].values())
        world.report.duplicates += doubled
        lossy = any(not up for _, up in world.channel_history[channel.name])
        if doubled and not lossy and not excused:
            yield f"{channel.name} was told {doubled} times too often"


def _planned(world: World) -> Iterator[str]:
    windows = [record for record in world.disk.kept.values() if isinstance(record, Maintenance)]
    for fault in faults_of(world.disk):
        if world.stepped or fault.source != "probe":
            continue
        inside = any(
            planned.component == fault.component
            and any(planned.begins_at <= at < planned.ends_at for at in (fault.began_at, fault.detected_at))
            for planned in windows
        )
        if inside != fault.planned and not world.disk_full:
            yield f"fault {fault.id} planned={fault.planned}, inside={inside}"


def _gaps(world: World) -> Iterator[str]:
    """The watcher's own absence is a fault that began no later than it died."""
    if world.stepped:
        return
    gaps = [fault for fault in faults_of(world.disk) if fault.source == "gap"]
    for (_, died), (born, _) in pairwise(world.lives):
        if born - died <= FAULT_AFTER + PROBE or died < PROBE:  # killed before its very first beat
            continue
        if not any(
            _true(world, gap.began_at) <= died + 0.01 and _true(world, gap.detected_at) >= born - 0.01
            for gap in gaps
        ):
            yield f"nobody was told that the watcher was away from {died:.0f} to {born:.0f}"
