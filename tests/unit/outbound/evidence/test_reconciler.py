"""The comparison in the database: incidents open and close, bills are written once, history rests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import Database
from services.common.events import AttemptChanged, CallsDisowned, CallsPlaced, IncidentClosed, PlacedCall
from services.common.ids import new_id
from services.outbound.evidence.collector import Collector
from services.outbound.evidence.disowned import on_calls_disowned
from services.outbound.evidence.models import BillableCall
from services.outbound.evidence.reconcile import Kind, Recording
from services.outbound.evidence.reconciler import OvertakenError, Reconciler
from services.outbound.evidence.window import WindowReport, compare_window
from services.outbound.incidents import close_incident
from services.outbound.models import Attempt, Contact, Incident
from tests.unit.outbound.evidence.switch import Switch, call_record
from tests.unit.outbound.rig import ShiftedClock, Told

AGO = timedelta(minutes=30)


class Evidence:
    """A caller's rows, a switch's file, a catalogue of recordings, and what compares them."""

    def __init__(self, database: Database, switch: Switch) -> None:
        self.database = database
        self.switch = switch
        self.clock = ShiftedClock()
        self.told = Told(database)
        self.recordings: dict[str, Recording] = {}
        self.collector = Collector(database, self.clock, "main", switch.path)
        self.reconciler = self.another()

    def another(self) -> Reconciler:
        """Return the comparison of another process."""
        return Reconciler(self.database, self.clock, ["main"], self._recordings, after=30, recorded_after=180)

    async def _recordings(self, _: AsyncSession, ids: Collection[str]) -> Mapping[str, Recording]:
        return {each: self.recordings[each] for each in ids if each in self.recordings}

    async def attempt(self, *, answered: bool = True, **changes: Any) -> str:
        """Store an attempt that ended half an hour ago after 10 seconds."""
        began = self.clock.now() - AGO
        attempt_id, contact_id = new_id(), new_id()
        values = {
            "id": attempt_id,
            "contact_id": contact_id,
            "number": 1,
            "number_index": 0,
            "callee": "0" * 32,
            "state": "ended",
            "outcome": "agreed" if answered else "no_answer",
            "version": 5,
            "script_version": 1,
            "queued_at": began,
            "due_at": began,
            "dialed_at": began,
            "answered_at": began + timedelta(seconds=4) if answered else None,
            "ended_at": began + timedelta(seconds=10),
            "hangup_cause": 16 if answered else 19,
        }
        async with self.database.transaction() as session:
            contact = {
                "id": contact_id,
                "case_id": new_id(),
                "plate_sealed": "",
                "numbers_sealed": [],
                "callees": [],
                "requested_at": began,
            }
            await session.execute(insert(Contact).values(contact))
            await session.execute(insert(Attempt).values(values | changes))
        return attempt_id

    async def call(self, *, answered: bool = True, recorded: bool = True) -> str:
        """Store an attempt with everything that belongs to it."""
        attempt_id = await self.attempt(answered=answered)
        self.record(attempt_id, answered=answered)
        if answered and recorded:
            self.recordings[attempt_id] = Recording("kept", "f" * 64)
        return attempt_id

    def record(self, unique_id: str, *, answered: bool = True) -> None:
        """Have the switch write the record of a call."""
        began = self.clock.now() - AGO
        record = call_record(
            unique_id,
            started_at=began,
            answered_at=began + timedelta(seconds=4),
            ended_at=began + timedelta(seconds=10),
        )
        if not answered:
            record = replace(record, answered_at=None, billed=0.0, disposition="NO ANSWER")
        self.switch.write(record)

    async def compare(self) -> None:
        """Collect what the switch wrote, then compare everything that can be compared."""
        while await self.collector.collect():
            pass
        while await self.reconciler.check():
            pass

    async def incidents(self) -> Sequence[Incident]:
        async with self.database.reading() as session:
            return (await session.scalars(select(Incident).order_by(Incident.opened_at))).all()

    async def open(self) -> set[tuple[str, str]]:
        """Return kind and subject of every open incident."""
        return {(each.kind, each.subject) for each in await self.incidents() if each.closed_at is None}

    async def billed(self) -> Sequence[BillableCall]:
        async with self.database.reading() as session:
            return (await session.scalars(select(BillableCall))).all()

    async def window(self) -> WindowReport:
        """Compare the last hour."""
        now = self.clock.now()
        return await compare_window(
            self.database,
            self._recordings,
            now - timedelta(hours=1),
            now,
            nodes=["main"],
            now=now,
            after=timedelta(seconds=30),
        )


@pytest.fixture
def evidence(database: Database, switch: Switch) -> Evidence:
    return Evidence(database, switch)


async def test_calls_that_agree_are_billed_once_and_open_nothing(evidence: Evidence) -> None:
    answered, unanswered = await evidence.call(), await evidence.call(answered=False)
    await evidence.compare()
    await evidence.compare()
    assert await evidence.incidents() == []
    bills = {bill.attempt_id: bill for bill in await evidence.billed()}
    assert bills.keys() == {answered, unanswered}
    assert (bills[answered].connected, bills[unanswered].connected) == (True, False)
    assert bills[answered].billed_seconds == pytest.approx(6)
    assert bills[answered].recording_sha256 == "f" * 64


async def test_the_operators_side_is_asked_about_the_case_of_every_call_once(evidence: Evidence) -> None:
    calls = {await evidence.call() for _ in range(3)}
    await evidence.compare()
    await evidence.compare()
    (event_,) = await evidence.told.events(CallsPlaced)
    assert {call.attempt_id for call in event_.calls} == calls


async def test_a_call_that_nobody_asked_for_is_an_incident(evidence: Evidence) -> None:
    await evidence.call()
    evidence.record("1795331439.14")
    evidence.record("e" * 32)
    await evidence.compare()
    assert await evidence.open() == {
        ("call_without_attempt", "1795331439.14"),
        ("call_without_attempt", "e" * 32),
    }


async def test_a_record_that_comes_late_closes_its_incident_and_bills_the_call(evidence: Evidence) -> None:
    attempt_id = await evidence.attempt()
    evidence.recordings[attempt_id] = Recording("kept", "f" * 64)
    await evidence.call()
    await evidence.compare()
    assert await evidence.open() == {("attempt_without_call_record", attempt_id)}
    evidence.record(attempt_id)
    await evidence.compare()
    assert await evidence.open() == set()
    assert attempt_id in {bill.attempt_id for bill in await evidence.billed()}
    (closed,) = await evidence.told.events(IncidentClosed)
    assert closed.subject == attempt_id


async def test_a_recording_that_comes_late_closes_its_incident_and_bills_the_call(
    evidence: Evidence,
) -> None:
    attempt_id = await evidence.call(recorded=False)
    await evidence.compare()
    assert await evidence.open() == {("answered_without_recording", attempt_id)}
    assert await evidence.billed() == []
    evidence.recordings[attempt_id] = Recording("kept", "f" * 64)
    await evidence.compare()
    assert await evidence.open() == set()
    assert len(await evidence.billed()) == 1


async def test_a_second_record_of_a_billed_call_is_found_although_the_call_was_compared(
    evidence: Evidence,
) -> None:
    attempt_id = await evidence.call()
    await evidence.compare()
    evidence.record(attempt_id)
    await evidence.compare()
    assert await evidence.open() == {("called_twice", attempt_id)}


async def test_a_call_is_compared_when_its_time_has_come_and_not_before(evidence: Evidence) -> None:
    now = evidence.clock.now()
    unanswered = await evidence.attempt(answered=False, ended_at=now - timedelta(seconds=20))
    answered = await evidence.attempt(ended_at=now - timedelta(seconds=100))
    evidence.switch.append(b"")
    await evidence.compare()
    assert await evidence.open() == set()
    evidence.clock.shift += timedelta(seconds=40)
    await evidence.compare()
    assert await evidence.open() == {("attempt_without_call_record", unanswered)}
    evidence.clock.shift += timedelta(seconds=60)
    await evidence.compare()
    assert ("attempt_without_call_record", answered) in await evidence.open()


async def test_nothing_is_missed_in_a_file_that_cannot_be_read(evidence: Evidence) -> None:
    """No evidence is not evidence of nothing: one incident says so, not one for each call."""
    evidence.switch.path.parent.rmdir()
    await evidence.attempt()
    evidence.clock.shift += timedelta(minutes=5)
    await evidence.compare()
    assert {kind for kind, _ in await evidence.open()} == {"call_records_unavailable"}
    evidence.switch.path.parent.mkdir()
    await evidence.compare()
    assert {kind for kind, _ in await evidence.open()} == {"attempt_without_call_record"}


@pytest.mark.parametrize(("answered", "reason"), [(True, "proved_answered"), (False, "proved_not_answered")])
async def test_what_a_record_proves_of_an_unknown_call_is_told_once_and_nobody_is_called(
    evidence: Evidence, answered: bool, reason: str
) -> None:
    attempt_id = await evidence.attempt(outcome="unknown", answered_at=None)
    evidence.record(attempt_id, answered=answered)
    await evidence.compare()
    await evidence.compare()
    assert await evidence.open() == {("unknown_call", attempt_id)}
    (changed,) = await evidence.told.events(AttemptChanged)
    assert (changed.attempt_id, changed.state, changed.outcome) == (attempt_id, "ended", "unknown")
    assert (changed.reason, changed.version) == (reason, 6)
    assert await evidence.billed() == []


async def test_a_queued_attempt_with_a_call_record_was_dialled_all_the_same(evidence: Evidence) -> None:
    attempt_id = await evidence.attempt(
        state="queued", outcome=None, dialed_at=None, answered_at=None, ended_at=None
    )
    evidence.record(attempt_id, answered=False)
    await evidence.compare()
    assert await evidence.open() == {("called_undialled", attempt_id)}


async def test_an_attempt_whose_end_is_not_written_down_yet_is_waited_for(evidence: Evidence) -> None:
    attempt_id = await evidence.attempt(state="answered", outcome=None, ended_at=None, hangup_cause=None)
    evidence.record(attempt_id)
    await evidence.compare()
    assert await evidence.incidents() == []
    async with evidence.database.transaction() as session:
        await session.execute(
            update(Attempt).values(
                state="ended", outcome="agreed", ended_at=evidence.clock.now() - AGO + timedelta(seconds=10)
            )
        )
    evidence.recordings[attempt_id] = Recording("kept", "f" * 64)
    await evidence.compare()
    assert len(await evidence.billed()) == 1


async def test_an_incident_that_a_person_closed_stays_closed(evidence: Evidence) -> None:
    attempt_id = await evidence.call(recorded=False)
    await evidence.compare()
    async with evidence.database.transaction() as session:
        kind = Kind.ANSWERED_WITHOUT_RECORDING
        await close_incident(session, kind, attempt_id, evidence.clock.now(), by="sup1", note="硬盘故障")
    await evidence.compare()
    assert await evidence.open() == set()


async def test_of_two_that_compare_the_same_records_one_gives_way(evidence: Evidence) -> None:
    await evidence.call()
    await evidence.collector.collect()
    other = evidence.another()
    gather = other._gather

    async def overtaken(session: AsyncSession, now: Any) -> Any:
        found = await gather(session, now)
        await evidence.reconciler.check()
        return found

    other._gather = overtaken  # type: ignore[method-assign]
    with pytest.raises(OvertakenError):
        await other.check()
    assert len(await evidence.billed()) == 1
    assert len(await evidence.told.events(CallsPlaced)) == 1


async def test_an_idle_round_costs_a_few_statements_however_much_history_there_is(
    evidence: Evidence,
) -> None:
    for _ in range(30):
        await evidence.call()
    await evidence.compare()
    statements: list[str] = []
    event.listen(
        evidence.database.engine.sync_engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: statements.append(statement),
    )
    await evidence.reconciler.check()
    asked = [statement for statement in statements if not statement.startswith(("BEGIN", "PRAGMA"))]
    assert len(asked) <= 5


async def test_a_windows_report_counts_what_was_placed_and_names_what_disagrees(evidence: Evidence) -> None:
    await evidence.call()
    await evidence.call(answered=False)
    lacking = await evidence.call(recorded=False)
    evidence.record("1795331439.14")
    await evidence.attempt(state="ringing", outcome=None, ended_at=None)
    await evidence.compare()
    report = await evidence.window()
    assert (report.attempts, report.pending, report.placed) == (3, 1, 4)
    assert (report.with_attempt, report.with_case, report.answered, report.recorded) == (3, 3, 2, 1)
    assert report.mismatches == {"answered_without_recording": 1, "call_without_attempt": 1}
    assert {mismatch.subject for mismatch in report.shown} == {lacking, "1795331439.14"}


async def test_a_disowned_call_is_told_in_the_windows_report(evidence: Evidence) -> None:
    attempt_id = await evidence.call()
    await evidence.compare()
    (placed,) = await evidence.told.events(CallsPlaced)
    call = PlacedCall(**placed.calls[0].model_dump())
    async with evidence.database.transaction() as session:
        await on_calls_disowned(session, CallsDisowned(occurred_at=evidence.clock.now(), calls=(call,)))
    assert await evidence.open() == {("attempt_without_case", attempt_id)}
    await evidence.compare()
    assert await evidence.open() == {("attempt_without_case", attempt_id)}, "only a person can close it"
    report = await evidence.window()
    assert (report.with_attempt, report.with_case) == (1, 0)
    assert report.mismatches == {"attempt_without_case": 1}
