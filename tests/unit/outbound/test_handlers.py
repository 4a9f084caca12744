import pytest
from sqlalchemy import select

from services.common.events import AttemptChanged, ContactConcluded
from services.common.ids import new_id
from services.outbound.models import Contact
from tests.unit.outbound.rig import NUMBER, Rig

FIXED = "051981234567"
DESK = "051981997327"


async def contact_of(rig: Rig, contact_id: str) -> Contact:
    async with rig.database.reading() as session:
        return (await session.scalars(select(Contact).where(Contact.id == contact_id))).one()


async def test_a_request_queues_one_attempt_at_the_first_number(rig: Rig) -> None:
    contact = await rig.request(NUMBER + "1", FIXED)
    (attempt,) = await rig.attempts(contact)
    assert (attempt.state, attempt.number, attempt.number_index) == ("queued", 1, 0)
    assert attempt.callee == rig.keys.index("phone", NUMBER + "1")
    assert attempt.script_version == 1
    assert attempt.due_at == attempt.queued_at


async def test_the_same_contact_asked_for_twice_is_called_once(rig: Rig) -> None:
    event = rig.requested([NUMBER + "1"])
    again = event.model_copy(update={"event_id": new_id()})
    await rig.handle(event)
    await rig.handle(again)
    assert len(await rig.attempts(event.contact_id)) == 1


async def test_neither_number_nor_plate_is_stored_in_the_open(rig: Rig) -> None:
    contact = await rig.request(NUMBER + "1")
    (attempt,) = await rig.attempts(contact)
    stored = repr(vars(await contact_of(rig, contact))) + repr(vars(attempt))
    assert NUMBER not in stored
    assert "D10001" not in stored


NUMBERS = [
    # the numbers asked for, and which of them may be called
    ([NUMBER + "1"], [NUMBER + "1"]),
    # with and without separators and country code it is one number, and it is rung once
    ([NUMBER + "1", f"+86 {NUMBER}1", FIXED], [NUMBER + "1", FIXED]),
    # emergency, service and foreign numbers are no owner's
    (["110", "95588", "4001234567", "+12025550123", FIXED], [FIXED]),
    # a line of the service itself, with a separator
    (["0519-81997327", FIXED], [FIXED]),
    # a fixed line without area code could be anybody's
    (["81234567", FIXED], [FIXED]),
]


@pytest.mark.parametrize(("asked", "called"), NUMBERS)
async def test_numbers_that_may_not_be_called_are_passed_over(
    rig: Rig, asked: list[str], called: list[str]
) -> None:
    contact = await rig.request(*asked)
    stored = await contact_of(rig, contact)
    assert stored.callees == [rig.keys.index("phone", number) for number in called]
    assert len(stored.numbers_sealed) == len(called)


@pytest.mark.parametrize("numbers", [[], ["110"], [DESK, "10086", "not a number"]])
async def test_without_a_number_to_call_the_contact_is_concluded_at_once(
    rig: Rig, numbers: list[str]
) -> None:
    contact = await rig.request(*numbers)
    (concluded,) = await rig.events(ContactConcluded)
    assert (concluded.contact_id, concluded.outcome) == (contact, "no_numbers")
    assert (await contact_of(rig, contact)).outcome == "no_numbers"
    assert await rig.attempts(contact) == []


async def test_a_plate_that_cannot_be_spoken_is_a_fault_of_ours_and_rings_nobody(rig: Rig) -> None:
    event = rig.requested([NUMBER + "1"], plate="苏D1000?")
    await rig.handle(event)
    (concluded,) = await rig.events(ContactConcluded)
    assert concluded.outcome == "failed"
    assert await rig.attempts(event.contact_id) == []


async def test_withdrawing_cancels_what_is_queued_and_rings_nobody(rig: Rig) -> None:
    contact = await rig.request(NUMBER + "1")
    await rig.withdraw(contact)

    (attempt,) = await rig.attempts(contact)
    assert (attempt.state, attempt.outcome, attempt.dialed_at) == ("ended", None, None)
    (changed,) = await rig.events(AttemptChanged)
    assert (changed.state, changed.outcome, changed.version) == ("ended", None, attempt.version)
    assert await rig.events(ContactConcluded) == []

    await rig.start()
    other = await rig.request(NUMBER + "2")
    await rig.conclusion(other)
    assert rig.tap.dialled == [NUMBER + "2"]


async def test_a_request_that_comes_after_its_withdrawal_rings_nobody(rig: Rig) -> None:
    event = rig.requested([NUMBER + "1"])
    await rig.withdraw(event.contact_id)
    await rig.handle(event)
    assert await rig.attempts(event.contact_id) == []


async def test_withdrawing_twice_changes_nothing_more(rig: Rig) -> None:
    contact = await rig.request(NUMBER + "1")
    await rig.withdraw(contact)
    first = (await contact_of(rig, contact)).withdrawn_at
    await rig.withdraw(contact)
    assert (await contact_of(rig, contact)).withdrawn_at == first
    assert len(await rig.events(AttemptChanged)) == 1


async def test_a_call_that_is_up_when_its_contact_is_withdrawn_runs_to_its_end(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "5")
    await rig.reached(contact, "dialing")
    await rig.withdraw(contact)
    assert await rig.conclusion(contact) == "disputed"


async def test_a_withdrawn_contact_is_not_redialled(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "7", FIXED)
    await rig.reached(contact, "dialing")
    await rig.withdraw(contact)
    ended = await rig.reached(contact, "ended")
    assert ended.outcome == "no_answer"
    assert len(await rig.attempts(contact)) == 1
    assert await rig.events(ContactConcluded) == []
