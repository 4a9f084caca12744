"""When calls look as if nobody honest made them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from services.common.call_rules import CallAlarms, Hours
from services.common.events import IncidentClosed, IncidentOpened
from services.common.ids import new_id
from services.outbound.guard.alarms import Figures, OperatorHour, alarms
from services.outbound.guard.watch import Watch
from services.outbound.incidents import close_incident
from services.outbound.models import Attempt, Contact, Incident
from tests.unit.outbound.rig import Rig

NOON = datetime(2026, 4, 1, 4, tzinfo=UTC)
NIGHT = datetime(2026, 4, 1, 18, tzinfo=UTC)
"""Two o'clock in the morning in Shanghai."""
RULES = CallAlarms(night_calls=10, spike_calls=50, operator_numbers=30, unallocated_calls=5)


def hour(calls: int, numbers: int = 1, unallocated: int = 0, at_night: int | None = None) -> OperatorHour:
    return OperatorHour("op1", calls, numbers, unallocated, calls if at_night is None else at_night)


@pytest.mark.parametrize(
    ("operators", "usual", "now", "kinds"),
    [
        # A quiet hour.
        ([], [], NOON, []),
        ([hour(50)], [0] * 7, NOON, []),
        # The floor alone makes a spike where nothing is usual, and five times the usual where much is.
        ([hour(51)], [0] * 7, NOON, ["call_spike"]),
        ([hour(51)], [], NOON, ["call_spike"]),
        ([hour(500)], [100] * 7, NOON, []),
        ([hour(501)], [100] * 7, NOON, ["call_spike"]),
        # One day that was a spike itself does not make spikes usual.
        ([hour(501)], [700, 0, 0, 0, 0, 0, 0], NOON, ["call_spike"]),
        # Operators count together.
        ([hour(26), hour(26)], [0] * 7, NOON, ["call_spike"]),
        # The night, and calls of the evening before it.
        ([hour(10)], [0] * 7, NIGHT, []),
        ([hour(11)], [0] * 7, NIGHT, ["night_spike"]),
        ([hour(40, at_night=3)], [0] * 7, NIGHT, []),
        ([hour(11)], [0] * 7, NOON, []),
        # One operator and very many owners.
        ([hour(30, numbers=30)], [0] * 7, NOON, []),
        ([hour(31, numbers=31)], [0] * 7, NOON, ["toll_fraud"]),
        # Numbers that do not exist: many of them, and a large share.
        ([hour(10, unallocated=5)], [0] * 7, NOON, []),
        ([hour(10, unallocated=6)], [0] * 7, NOON, ["toll_fraud"]),
        ([hour(40, unallocated=6)], [0] * 7, NOON, []),
    ],
)
def test_what_opens_an_alarm(
    operators: list[OperatorHour], usual: list[int], now: datetime, kinds: list[str]
) -> None:
    assert [alarm.kind for alarm in alarms(Figures(operators, usual), RULES, now)] == kinds


def test_without_a_night_there_is_no_night_spike() -> None:
    rules = RULES.model_copy(update={"night": ""})
    assert alarms(Figures([hour(11)], []), rules, NIGHT) == []


@pytest.mark.parametrize(
    ("moment", "began"),
    [
        # 23:30 on the first, 02:00 on the second, and noon: the night of yesterday.
        (datetime(2026, 4, 1, 15, 30, tzinfo=UTC), datetime(2026, 4, 1, 15, tzinfo=UTC)),
        (NIGHT, datetime(2026, 4, 1, 15, tzinfo=UTC)),
        (NOON, datetime(2026, 3, 31, 15, tzinfo=UTC)),
        # To the minute.
        (datetime(2026, 4, 1, 15, tzinfo=UTC), datetime(2026, 4, 1, 15, tzinfo=UTC)),
    ],
)
def test_when_the_night_began(moment: datetime, began: datetime) -> None:
    night = Hours.read("23:00-06:00")
    assert night is not None
    assert night.began(moment) == began


async def calls(rig: Rig, count: int, ago: timedelta, operator: str = "op1", **fields: Any) -> None:
    """Have so many calls dialled some time ago, each to a number of its own."""
    at = rig.clock.now() - ago
    contact = new_id()
    async with rig.database.transaction() as session:
        session.add(
            Contact(
                id=contact, case_id=new_id(), plate_sealed="", numbers_sealed=[], callees=[], requested_at=at
            )
        )
        await session.flush()
        await session.execute(
            insert(Attempt),
            [
                {
                    "id": new_id(),
                    "contact_id": contact,
                    "number": number,
                    "number_index": 0,
                    "callee": new_id(),
                    "state": "ended",
                    "outcome": "agreed",
                    "version": 3,
                    "script_version": 1,
                    "queued_at": at,
                    "due_at": at,
                    "dialed_at": at,
                    "ended_at": at,
                    "greetings_ended": 0,
                    "operator": operator,
                }
                | fields
                for number in range(count)
            ],
        )


async def test_an_incident_is_open_while_it_lasts_and_told_once(rig: Rig) -> None:
    watch = Watch(rig.database, rig.clock, RULES.model_copy(update={"night": ""}))
    await watch.look()
    await calls(rig, 25, timedelta(minutes=5), outcome="unallocated")
    await calls(rig, 31, timedelta(minutes=5), "op2")
    for _ in range(3):
        await watch.look()
    opened = await rig.events(IncidentOpened)
    assert {(event.kind, event.subject) for event in opened} == {
        ("call_spike", "service"),
        ("toll_fraud", "unallocated"),
        ("toll_fraud", "operator:op2"),
    }
    assert len(opened) == 3
    async with rig.database.reading() as session:
        details = {
            row.subject: row.detail
            for row in await session.scalars(select(Incident))
            if row.kind == "toll_fraud"
        }
    assert details["unallocated"] == {"calls": 56, "unallocated": 25}
    assert details["operator:op2"] == {"numbers": 31, "most": 30}
    rig.clock.shift += timedelta(minutes=56)
    await watch.look()
    assert len(await rig.events(IncidentClosed)) == 3


async def test_what_is_usual_is_learnt_from_the_days_before(rig: Rig) -> None:
    watch = Watch(rig.database, rig.clock, RULES.model_copy(update={"night": "", "operator_numbers": 10_000}))
    for day in range(1, 8):
        await calls(rig, 20, timedelta(days=day, minutes=30))
    await calls(rig, 100, timedelta(minutes=30))
    await watch.look()
    assert await rig.events(IncidentOpened) == []
    await calls(rig, 1, timedelta(minutes=30))
    await watch.look()
    (opened,) = await rig.events(IncidentOpened)
    assert opened.kind == "call_spike"


async def test_what_a_person_closed_is_not_opened_again_while_it_lasts(rig: Rig) -> None:
    watch = Watch(rig.database, rig.clock, RULES.model_copy(update={"night": ""}))
    await calls(rig, 31, timedelta(minutes=5))
    await watch.look()
    async with rig.database.transaction() as session:
        await close_incident(session, "toll_fraud", "operator:op1", rig.clock.now(), by="sup1", note="核实")
    await watch.look()
    assert len(await rig.events(IncidentOpened)) == 1
    rig.clock.shift += timedelta(hours=2)
    await calls(rig, 31, timedelta(minutes=5))
    await watch.look()
    assert len(await rig.events(IncidentOpened)) == 2
