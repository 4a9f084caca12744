import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client import REGISTRY
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import SystemClock
from services.common.database import Database
from services.common.events import AttemptChanged, ContactConcluded
from services.common.ids import new_id
from services.outbound.attempts import Trigger
from services.outbound.journal import Journal
from services.outbound.ledger import Ledger, Written
from services.outbound.lines import Line, Lines, Route
from services.outbound.records import Change
from tests.unit.outbound.rig import DEADLINE, NUMBER, Rig


@contextmanager
def statements(rig: Rig) -> Iterator[list[str]]:
    """Note every statement that reaches the database."""
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    event.listen(rig.database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(rig.database.engine.sync_engine, "before_cursor_execute", note)


@contextmanager
def database_away(rig: Rig, commits: int) -> Iterator[list[int]]:
    """Fail so many commits, after everything was written; yields the failures so far."""
    failed: list[int] = []

    def fail(_: Any) -> None:
        if len(failed) < commits:
            failed.append(1)
            raise ConnectionResetError("the database went away")

    event.listen(rig.database.engine.sync_engine, "commit", fail)
    try:
        yield failed
    finally:
        event.remove(rig.database.engine.sync_engine, "commit", fail)


async def claimed(rig: Rig, count: int, *numbers: str) -> list[tuple[str, str]]:
    """Contacts with a claimed attempt each: contact id, attempt id. Nobody is rung."""
    contacts = [rig.requested(numbers or (NUMBER + "0",)) for _ in range(count)]
    await rig.handle(*contacts)
    taken = await rig.claim(count)
    return [(call.record.contact_id, call.record.id) for call in taken]


def changes(rig: Rig, attempt_id: str, *triggers: Trigger, **details: Any) -> list[Change]:
    return [Change(attempt_id, trigger, rig.clock.now(), **details) for trigger in triggers]


def faults(kind: str) -> float:
    return REGISTRY.get_sample_value("movecar_attempt_faults_total", {"kind": kind}) or 0.0


@pytest.fixture
async def journal(rig: Rig) -> Any:
    """The journal of a caller whose other parts are not started."""
    running = asyncio.create_task(rig.engine.journal.run())
    yield rig.engine.journal
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_database_that_goes_away_loses_no_change(rig: Rig, journal: Journal) -> None:
    ((contact, attempt),) = await claimed(rig, 1)
    with database_away(rig, commits=3) as failed:
        journal.put(changes(rig, attempt, Trigger.ANSWERED))
        journal.put(changes(rig, attempt, Trigger.KEY_PRESSED, key="2"))
        assert await rig.conclusion(contact) == "disputed"
    assert len(failed) == 3
    journal.put(changes(rig, attempt, Trigger.ENDED))
    await journal.settle()
    (row,) = await rig.attempts(contact)
    assert (row.state, row.outcome, row.key) == ("ended", "disputed", "2")
    assert row.answered_at is not None


async def test_the_whole_line_stands_a_database_that_goes_away_at_any_commit(rig: Rig) -> None:
    await rig.start()
    contacts = [await rig.request(NUMBER + digit) for digit in "0569"]
    with database_away(rig, commits=10):
        outcomes = [await rig.conclusion(contact) for contact in contacts]
    assert outcomes == ["agreed", "disputed", "exhausted", "exhausted"]
    assert set(rig.tap.asked.values()) == {1}


async def test_a_caller_whose_first_sign_of_life_fails_takes_up_its_work_with_the_next_one(rig: Rig) -> None:
    instances = rig.engine.instances
    with database_away(rig, commits=1), pytest.raises(ConnectionResetError):
        await instances.beat()
    await instances.beat()
    await instances.beat()
    assert not instances.taken_over


async def test_a_commit_that_succeeded_although_we_heard_otherwise_is_not_done_twice(rig: Rig) -> None:
    ((contact, attempt),) = await claimed(rig, 1, NUMBER + "6")
    rig.engine.lines.take(attempt, Line(Route("main", "trunk")))
    ended = changes(rig, attempt, Trigger.ENDED, code=17)
    for _ in range(2):
        rig.engine.journal.put(ended)
        await rig.engine.journal.drain()
    assert [row.state for row in await rig.attempts(contact)] == ["ended", "queued"]
    assert len(rig.engine.lines) == 0


async def test_changes_of_many_calls_are_written_with_few_statements(rig: Rig) -> None:
    calls = await claimed(rig, 64, NUMBER + "6")
    for _, attempt in calls:
        rig.engine.journal.put(changes(rig, attempt, Trigger.RINGING))
        rig.engine.journal.put(changes(rig, attempt, Trigger.ENDED, code=17))
    with statements(rig) as seen:
        await rig.engine.journal.drain()
    assert len(seen) <= 6, seen
    ended = [change for change in await rig.events(AttemptChanged) if change.state == "ended"]
    assert len(ended) == 64


async def test_states_passed_through_in_one_transaction_are_told_once(rig: Rig) -> None:
    ((_, attempt),) = await claimed(rig, 1)
    rig.engine.journal.put(changes(rig, attempt, Trigger.RINGING, Trigger.ANSWERED))
    rig.engine.journal.put(changes(rig, attempt, Trigger.KEY_PRESSED, key="1"))
    await rig.engine.journal.drain()
    told = [(change.version, change.state, change.outcome) for change in await rig.events(AttemptChanged)]
    assert told == [(2, "dialing", None), (3, "answered", "agreed")]
    assert [event.outcome for event in await rig.events(ContactConcluded)] == ["agreed"]


async def test_the_greeting_is_kept_and_told_only_with_what_follows(rig: Rig) -> None:
    ((contact, attempt),) = await claimed(rig, 1)
    rig.engine.journal.put(changes(rig, attempt, Trigger.ANSWERED, Trigger.GREETING_STARTED))
    await rig.engine.journal.drain()
    told = len(await rig.events(AttemptChanged))
    rig.engine.journal.put(changes(rig, attempt, Trigger.GREETING_ENDED))
    await rig.engine.journal.drain()
    assert len(await rig.events(AttemptChanged)) == told
    (row,) = await rig.attempts(contact)
    assert row.greeting_started_at is not None
    assert row.greetings_ended == 1
    rig.engine.journal.put(changes(rig, attempt, Trigger.KEY_PRESSED, key="2"))
    await rig.engine.journal.drain()
    (row,) = await rig.attempts(contact)
    last = (await rig.events(AttemptChanged))[-1]
    assert (last.greeting_started_at, last.greeting_ended_at) == (
        row.greeting_started_at,
        row.greeting_ended_at,
    )
    assert (last.pressed, last.pressed_at) == ("2", row.key_at)


async def test_the_key_concludes_and_the_hang_up_does_not_conclude_again(rig: Rig) -> None:
    ((contact, attempt),) = await claimed(rig, 1)
    rig.engine.journal.put(changes(rig, attempt, Trigger.KEY_PRESSED, key="3"))
    await rig.engine.journal.drain()
    assert await rig.conclusion(contact) == "refused"
    rig.engine.journal.put(changes(rig, attempt, Trigger.ENDED))
    await rig.engine.journal.drain()
    assert await rig.conclusion(contact) == "refused"
    assert (await rig.attempts(contact))[0].state == "ended"


async def test_the_next_attempt_waits_as_long_as_the_rules_say(rig: Rig) -> None:
    ((contact, attempt),) = await claimed(rig, 1, NUMBER + "6")
    (end,) = changes(rig, attempt, Trigger.ENDED, code=17)
    rig.engine.journal.put([end])
    await rig.engine.journal.drain()
    _, following = await rig.attempts(contact)
    assert (following.number, following.number_index, following.state) == (2, 0, "queued")
    assert following.due_at == end.at + timedelta(seconds=rig.settings.redial.busy[0])
    told = (await rig.events(AttemptChanged))[-1]
    assert (told.attempt_id, told.state, told.number) == (following.id, "queued", 2)


async def test_the_next_number_is_rung_when_the_first_does_not_exist(rig: Rig) -> None:
    ((contact, attempt),) = await claimed(rig, 1, NUMBER + "6", NUMBER + "0")
    rig.engine.journal.put(changes(rig, attempt, Trigger.ENDED, code=1))
    await rig.engine.journal.drain()
    _, following = await rig.attempts(contact)
    assert (following.number_index, following.callee) == (1, rig.keys.index("phone", NUMBER + "0"))


async def test_what_cannot_happen_is_counted_and_holds_up_nothing_else(rig: Rig) -> None:
    (contact, attempt), (other, other_attempt) = await claimed(rig, 2)
    before = faults("illegal_transition")
    rig.engine.journal.put(changes(rig, attempt, Trigger.ANSWERED, Trigger.RINGING))
    rig.engine.journal.put(changes(rig, new_id(), Trigger.ENDED))
    rig.engine.journal.put(changes(rig, other_attempt, Trigger.KEY_PRESSED, key="1"))
    await rig.engine.journal.drain()
    assert faults("illegal_transition") == before + 1
    assert (await rig.attempts(contact))[0].state == "answered"
    assert await rig.conclusion(other) == "agreed"


class BrokenFor(Ledger):
    """A defect of ours that one attempt brings out."""

    poison = ""

    async def write(self, session: AsyncSession, changes: Sequence[Change]) -> Written:
        if any(change.attempt_id == self.poison for change in changes):
            raise ValueError("a defect")
        return await super().write(session, changes)


async def test_an_attempt_that_cannot_be_written_holds_up_no_other(rig: Rig) -> None:
    calls = await claimed(rig, 3)
    ledger = BrokenFor(rig.settings.redial)
    ledger.poison = calls[1][1]
    journal = Journal(rig.database, rig.clock, ledger, Lines(1))
    for _, attempt in calls:
        journal.put(changes(rig, attempt, Trigger.KEY_PRESSED, key="1"))
    await journal.drain()
    states = [(await rig.attempts(contact))[0].state for contact, _ in calls]
    assert states == ["answered", "dialing", "answered"]


class Slow(Ledger):
    """Waits in the middle of its first transaction."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.settings.redial)
        self.writing = asyncio.Event()
        self.go_on = asyncio.Event()

    async def write(self, session: AsyncSession, changes: Sequence[Change]) -> Written:
        self.writing.set()
        await self.go_on.wait()
        return await super().write(session, changes)


async def test_what_comes_during_a_write_is_written_next(rig: Rig) -> None:
    ((contact, attempt),) = await claimed(rig, 1)
    ledger = Slow(rig)
    journal = Journal(rig.database, rig.clock, ledger, Lines(1))
    running = asyncio.create_task(journal.run())
    async with asyncio.timeout(DEADLINE):
        journal.put(changes(rig, attempt, Trigger.ANSWERED, Trigger.KEY_PRESSED, key="1"))
        await ledger.writing.wait()
        journal.put(changes(rig, attempt, Trigger.ENDED))
        ledger.go_on.set()
        await journal.settle()
    assert (await rig.attempts(contact))[0].state == "ended"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_settling_waits_only_for_what_came_before(rig: Rig) -> None:
    (contact, attempt), (_, other) = await claimed(rig, 2)
    ledger = Slow(rig)
    journal = Journal(rig.database, rig.clock, ledger, Lines(1))
    running = asyncio.create_task(journal.run())
    async with asyncio.timeout(DEADLINE):
        journal.put(changes(rig, attempt, Trigger.ANSWERED, Trigger.GREETING_STARTED))
        settled = asyncio.create_task(journal.settle())
        await ledger.writing.wait()
        journal.put(changes(rig, other, Trigger.GREETING_STARTED))  # may wait for half a minute
        journal.put(changes(rig, attempt, Trigger.GREETING_ENDED))
        ledger.go_on.set()
        await settled
    (row,) = await rig.attempts(contact)
    assert row.greeting_started_at is not None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Noted(Ledger):
    """Writes nothing, and notes what it was to write."""

    def __init__(self) -> None:
        self.seen: list[Trigger] = []
        self.has_three = asyncio.Event()

    async def write(self, session: AsyncSession, changes: Sequence[Change]) -> Written:
        self.seen += [change.trigger for change in changes]
        if len(self.seen) >= 3:
            self.has_three.set()
        return Written()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_changes_are_written_in_time_on_both_event_loops(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def work() -> None:
        database, ledger = Database(f"sqlite+aiosqlite:///{tmp_path / 'journal.sqlite3'}"), Noted()
        journal = Journal(database, SystemClock(), ledger, Lines(1))
        running = asyncio.create_task(journal.run())
        for trigger in (Trigger.GREETING_STARTED, Trigger.RINGING, Trigger.ENDED, Trigger.ENDED):
            journal.put([Change(new_id(), trigger, SystemClock().now())])
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            await ledger.has_three.wait()
        # What may wait for long has not come with the others, of which it is none.
        assert sorted(ledger.seen) == [Trigger.ENDED, Trigger.ENDED, Trigger.RINGING]
        await journal.settle()
        assert len(ledger.seen) == 4
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await database.close()

    run(work())
