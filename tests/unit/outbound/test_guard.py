"""The guard at the dialer's door, on a database."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.common.clock import SystemClock, local
from services.common.events import AttemptChanged, ContactConcluded, MachineCallsAllowed, MachineCallsDeclined
from services.common.ids import new_id
from services.outbound.models import Attempt
from tests.unit.outbound.rig import NO_LIMITS, NUMBER, Rig, rig_on, settings_for

Guarded = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def guarded(tmp_path: Path, database_url: str) -> Guarded:
    """Sets a rig up whose calls are limited as given, and in no other way."""

    def make(*, hours: str = "", **limits: dict[str, int]) -> AbstractAsyncContextManager[Rig]:
        overrides: dict[str, Any] = {"call_limits": NO_LIMITS | limits, "calling_hours": hours}
        return rig_on(settings_for(tmp_path, database_url=database_url, **overrides))

    return make


async def told_of(rig: Rig, contact: str) -> tuple[str, str | None]:
    """Return how a contact was concluded, and why."""
    await rig.conclusion(contact)
    (event,) = await rig.events(ContactConcluded, contact)
    return event.outcome, event.reason


async def test_what_the_guard_withholds_ends_with_its_reason_and_rings_nobody(guarded: Guarded) -> None:
    async with guarded(number={"1h": 1}) as rig:
        await rig.start()
        first = await rig.request(NUMBER + "0", NUMBER + "1")
        assert await told_of(rig, first) == ("agreed", None)
        second = await rig.request(NUMBER + "0", NUMBER + "1")
        assert await told_of(rig, second) == ("withheld", "number_limit")
        (attempt,) = await rig.attempts(second)
        assert (attempt.state, attempt.outcome, attempt.reason) == ("ended", "withheld", "number_limit")
        assert (attempt.dialed_at, attempt.claimed_by) == (None, None)
        assert attempt.ended_at is not None
        (told,) = await rig.events(AttemptChanged, second)
        assert (told.state, told.outcome, told.reason) == ("ended", "withheld", "number_limit")
        assert rig.tap.dialled == [NUMBER + "0"]
        await rig.lines_free()


@pytest.mark.parametrize("limit", ["number", "owner", "operator", "service"])
async def test_redials_count_and_an_hour_later_it_goes_on(guarded: Guarded, limit: str) -> None:
    """A busy owner is dialled three times by the rules; the third is one too many."""
    async with guarded(**{limit: {"1h": 2}}) as rig:
        await rig.start()
        contact = await rig.request(NUMBER + "6")
        assert await told_of(rig, contact) == ("withheld", f"{limit}_limit")
        assert [attempt.outcome for attempt in await rig.attempts(contact)] == ["busy", "busy", "withheld"]
        rig.clock.shift += timedelta(hours=1)
        later = await rig.request(NUMBER + "0")
        assert await told_of(rig, later) == ("agreed", None)


async def test_a_full_trunk_is_waited_for(guarded: Guarded) -> None:
    async with guarded(trunk={"1s": 2}) as rig:
        await rig.start()
        contacts = [await rig.request(NUMBER + "0") for _ in range(5)]
        assert [await told_of(rig, contact) for contact in contacts] == [("agreed", None)] * 5
        async with rig.database.reading() as session:
            times = (await session.scalars(select(Attempt.dialed_at).order_by(Attempt.dialed_at))).all()
    for earlier, later in zip(times, times[2:], strict=False):
        assert earlier is not None
        assert later is not None
        assert later - earlier >= timedelta(seconds=1)


async def test_outside_the_hours_nobody_is_rung(guarded: Guarded) -> None:
    now = local(SystemClock().now())
    closed = f"{(now + timedelta(hours=2)):%H}:00-{(now + timedelta(hours=4)):%H}:00"
    async with guarded(hours=closed) as rig:
        await rig.start()
        contact = await rig.request(NUMBER + "0")
        assert await told_of(rig, contact) == ("withheld", "outside_calling_hours")
        assert rig.tap.dialled == []


async def test_a_contact_withdrawn_meanwhile_is_not_withheld_as_well(guarded: Guarded) -> None:
    async with guarded(service={"1h": 1}) as rig:
        await rig.request(NUMBER + "0")
        contacts = [await rig.request(NUMBER + "0") for _ in range(10)]

        async def withdraw(contact: str) -> None:
            await asyncio.sleep(random.random() * 0.02)
            await rig.withdraw(contact)

        await asyncio.gather(rig.claim(20), *map(withdraw, contacts))
        for contact in contacts:
            (attempt,) = await rig.attempts(contact)
            assert attempt.state == "ended"
            conclusions = await rig.events(ContactConcluded, contact)
            assert len(conclusions) == (attempt.outcome == "withheld")


@pytest.mark.parametrize("limit", ["number", "owner", "operator", "service"])
async def test_two_dialers_at_once_never_pass_a_limit_together(guarded: Guarded, limit: str) -> None:
    """Each sees the other's calls, or waits for it: whatever the order, every window keeps its limit."""
    most = 3
    async with guarded(**{limit: {"1h": most}}) as rig, rig.sibling("2") as other:
        asked = [rig.requested([NUMBER + str(index % 4)]) for index in range(40)]
        asked = [
            event.model_copy(update={"operator": f"op{index % 3}", "vehicle": f"v{index % 4}"})
            for index, event in enumerate(asked)
        ]
        await rig.handle(*asked)
        while True:
            taken = await asyncio.gather(
                *(one.claim(random.randint(1, 4)) for one in (rig, other, rig, other))
            )
            if not any(taken) and not await queued(rig):
                break
        by_contact = {event.contact_id: event for event in asked}
        async with rig.database.reading() as session:
            rows = (await session.scalars(select(Attempt))).all()
    dialled = [row for row in rows if row.dialed_at]
    keys_of: dict[str, Callable[[Attempt], str]] = {
        "number": lambda row: row.callee,
        "owner": lambda row: row.callee,
        "operator": lambda row: by_contact[row.contact_id].operator,
        "service": lambda row: "",
    }
    key = keys_of[limit]
    keys = {key(row) for row in rows}
    # Never more than the limit, and never less either: all were asked for often enough.
    assert Counter(map(key, dialled)) == dict.fromkeys(keys, most)
    assert {row.operator for row in dialled} <= {"op0", "op1", "op2"}
    assert {row.reason for row in rows if row.dialed_at is None} == {f"{limit}_limit"}


async def queued(rig: Rig) -> bool:
    """Tell whether anything waits in the queue."""
    async with rig.database.reading() as session:
        return await session.scalar(select(Attempt.id).where(Attempt.state == "queued").limit(1)) is not None


async def test_an_owner_who_declined_is_called_by_nobody_at_any_number_until_it_is_lifted(
    guarded: Guarded,
) -> None:
    async with guarded() as rig:
        await rig.start()
        declined = MachineCallsDeclined(
            occurred_at=rig.clock.now(),
            case_id=new_id(),
            wish_id=new_id(),
            numbers=(rig.keys.index("phone", NUMBER + "1"),),
            by="op1",
        )
        await rig.handle(declined, declined)
        contact = await rig.request(NUMBER + "0", NUMBER + "1")
        assert await told_of(rig, contact) == ("withheld", "owner_declined_machine")
        somebody_else = await rig.request(NUMBER + "2")
        assert await told_of(rig, somebody_else) == ("agreed", None)
        again = declined.model_copy(update={"wish_id": new_id()})
        await rig.handle(again)
        for wish in (declined, again):
            contact = await rig.request(NUMBER + "1")
            assert await told_of(rig, contact) == ("withheld", "owner_declined_machine")
            await rig.handle(
                MachineCallsAllowed(occurred_at=rig.clock.now(), case_id=wish.case_id, wish_id=wish.wish_id)
            )
        contact = await rig.request(NUMBER + "1")
        assert await told_of(rig, contact) == ("agreed", None)


async def test_a_wish_that_comes_between_two_tries_stops_the_second(guarded: Guarded) -> None:
    async with guarded() as rig:
        contact = await rig.request(NUMBER + "6")
        await rig.start()
        await rig.reached(contact, "dialing")
        await rig.handle(
            MachineCallsDeclined(
                occurred_at=rig.clock.now(),
                case_id=new_id(),
                wish_id=new_id(),
                numbers=(rig.keys.index("phone", NUMBER + "6"),),
                by="op1",
            )
        )
        assert await told_of(rig, contact) == ("withheld", "owner_declined_machine")
        outcomes = [attempt.outcome for attempt in await rig.attempts(contact)]
        assert outcomes[-1] == "withheld"
        assert set(outcomes[:-1]) == {"busy"}
