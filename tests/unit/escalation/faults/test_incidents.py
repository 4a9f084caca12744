"""Incidents and the fault of their kind: one, with a count, from the first to the last, in any order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.clock import ManualClock
from services.escalation.faults.engine import Engine
from services.escalation.faults.incidents import Incidents
from services.escalation.faults.journal import Journal
from services.escalation.faults.notices import write
from services.escalation.faults.parts import INCIDENTS
from services.escalation.faults.records import Fault, Record
from services.outbound.evidence.reconcile import Kind as Mismatch
from services.outbound.guard.alarms import KINDS as ALARMS

NOW = datetime(2026, 4, 1, tzinfo=UTC)
AFTER = timedelta(seconds=15)
KIND = "call_without_attempt"


@dataclass
class Watched:
    """An engine on a real journal, and what tells it of incidents."""

    engine: Engine
    journal: Journal
    clock: ManualClock
    incidents: Incidents

    @classmethod
    async def started(cls, path: Path, clock: ManualClock) -> "Watched":
        journal = Journal(path, clock)
        engine = Engine(journal, clock, {"desk": ["push"], "supervisor": ["email"]}, AFTER)
        await engine.start()
        return cls(engine, journal, clock, Incidents(engine, journal, clock))

    async def faults(self) -> list[Fault]:
        return await self.journal.faults(50)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    found = await Watched.started(tmp_path / "journal.sqlite3", ManualClock())
    yield found
    await found.journal.close()


async def test_many_incidents_of_a_kind_are_one_fault_and_one_notice_with_their_number(
    watched: Watched,
) -> None:
    for number in range(200):
        await watched.incidents.opened(f"incident-{number}", KIND, f"call-{number}", NOW)
    (fault,) = await watched.faults()
    assert fault.component == f"incident_{KIND}"
    assert (fault.reason, fault.audiences, fault.downtime) == ("call-0，共200起", "supervisor", False)
    (sent,) = await watched.engine.due()
    assert "交换机呼出，本系统无记录" in write(sent.duty, sent.subject).text


async def test_kinds_are_told_apart_and_what_is_about_a_watched_part_is_counted_to_it(
    watched: Watched,
) -> None:
    await watched.incidents.opened("1", KIND, "call-1", NOW)
    await watched.incidents.opened("2", "toll_fraud", "unallocated", NOW)
    await watched.incidents.opened("3", "recording_missing", "attempt-3", NOW)
    found = {fault.component: fault.reason for fault in await watched.faults()}
    assert found == {
        f"incident_{KIND}": "call-1",
        "incident_toll_fraud": "unallocated",
        "recordings": "录音缺失：attempt-3",
    }


async def test_the_fault_is_over_with_the_last_incident_and_the_next_opens_another(watched: Watched) -> None:
    for number in "123":
        await watched.incidents.opened(number, KIND, number, NOW)
    await watched.clock.advance(60)
    for number in "13":
        await watched.incidents.closed(number, watched.clock.now())
    assert [fault.state for fault in await watched.faults()] == ["open"]
    await watched.incidents.closed("2", watched.clock.now())
    (fault,) = await watched.faults()
    assert (fault.state, fault.recovered_at) == ("recovered", watched.clock.now())
    await watched.incidents.opened("4", KIND, "4", watched.clock.now())
    assert [fault.state for fault in await watched.faults()].count("open") == 1


async def test_a_new_process_counts_on_and_knows_what_it_was_told_before(
    watched: Watched, tmp_path: Path
) -> None:
    await watched.incidents.opened("1", KIND, "1", NOW)
    await watched.incidents.opened("2", KIND, "2", NOW)
    again = await Watched.started(tmp_path / "journal.sqlite3", watched.clock)
    for number in "123":
        await again.incidents.opened(number, KIND, number, NOW)
    for number in "12":
        await again.incidents.closed(number, NOW)
    assert [(fault.reason, fault.state) for fault in await again.faults()] == [("1，共3起", "open")]
    await again.incidents.closed("3", NOW)
    assert [fault.state for fault in await again.faults()] == ["recovered"]
    await again.engine.due()
    again.engine.book.forget(NOW + timedelta(days=2))
    await again.incidents.opened("3", KIND, "3", NOW)  # told again, long after its end
    assert [fault.state for fault in await again.faults()] == ["recovered"]
    await again.journal.close()


class Memory:
    """A journal that keeps nothing but answers as one."""

    async def load(self) -> list[Record]:
        return []

    async def write(self, records: object) -> None:
        return None

    async def known(self, _: object) -> list[Record]:
        return []

    async def finding(self, _: str) -> None:
        return None


@given(st.permutations([(number, what) for number in range(4) for what in ("opened", "closed", "opened")]))
async def test_in_any_order_and_however_often_nothing_stays_open_that_is_closed(
    events: list[tuple[int, str]],
) -> None:
    clock = ManualClock()
    engine = Engine(Memory(), clock, {"desk": [], "supervisor": []}, AFTER)
    await engine.start()
    incidents = Incidents(engine, Memory(), clock)
    for number, what in events:
        if what == "opened":
            await incidents.opened(str(number), KIND, str(number), NOW)
        else:
            await incidents.closed(str(number), NOW)
        wanted = {
            str(one) for one in range(4) if (one, "closed") not in events[: events.index((number, what)) + 1]
        }
        assert {finding.id for finding in engine.book.findings.values() if finding.open} <= wanted | {
            str(number)
        }
    assert not [fault for fault in engine.book.faults.values() if fault.state == "open"]


def test_every_kind_of_incident_has_a_name_for_people() -> None:
    assert set(INCIDENTS) >= {str(kind) for kind in Mismatch} | set(ALARMS)
