"""The process dies at the worst moments: nobody is rung twice for an attempt, every contact is concluded."""

import asyncio

import pytest

from services.common.events import ContactConcluded
from services.outbound.calls import Ended
from services.outbound.pbx import Call, Pbx
from tests.unit.outbound.rig import DEADLINE, NUMBER, Rig

KEYED = [("0", "agreed"), ("5", "disputed")]


class StopsBeforeSending(Pbx):
    """The process dies after the claim is committed and before the originate is sent."""

    reached: asyncio.Event

    async def originate(self, call: Call) -> None:
        self.reached.set()
        await asyncio.Event().wait()


class StopsAfterSending(StopsBeforeSending):
    """The process dies after the originate is sent and before it is answered."""

    async def originate(self, call: Call) -> None:
        await Pbx.originate(self, call)
        await super().originate(call)


async def start_and_stop(rig: Rig, kind: type[StopsBeforeSending], number: str) -> str:
    kind.reached = asyncio.Event()
    await rig.start(kind)
    contact = await rig.request(number)
    async with asyncio.timeout(DEADLINE):
        await kind.reached.wait()
    await rig.crash()
    (attempt,) = await rig.attempts(contact)
    assert attempt.state == "dialing"
    return contact


def rung_once(rig: Rig) -> bool:
    return set(rig.tap.asked.values()) == {1}


async def test_a_claim_whose_call_was_never_placed_is_unknown_and_not_placed_later(rig: Rig) -> None:
    contact = await start_and_stop(rig, StopsBeforeSending, NUMBER + "0")
    await rig.start()
    assert await rig.conclusion(contact) == "unknown"
    assert rig.tap.dialled == []
    (attempt,) = await rig.attempts(contact)
    assert (attempt.state, attempt.outcome) == ("ended", "unknown")


@pytest.mark.parametrize(("digit", "outcome"), KEYED)
async def test_a_call_placed_in_the_moment_of_the_crash_is_followed_to_its_end(
    rig: Rig, digit: str, outcome: str
) -> None:
    contact = await start_and_stop(rig, StopsAfterSending, NUMBER + digit)
    await rig.start()
    assert await rig.conclusion(contact) == outcome
    assert rung_once(rig)


@pytest.mark.parametrize(
    "moment",
    [
        "Event: Newchannel",
        "ChannelStateDesc: Ringing",
        "ChannelStateDesc: Up",
        "Phase: start",
        "Phase: end",
        "UserEvent: MovecarKey",
    ],
)
@pytest.mark.parametrize(("digit", "outcome"), KEYED)
async def test_a_crash_in_the_middle_of_a_call_loses_neither_the_call_nor_its_answer(
    rig: Rig, digit: str, outcome: str, moment: str
) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + digit)
    await rig.tap.until_heard(moment)
    await rig.crash()
    await rig.start()
    assert await rig.conclusion(contact) == outcome
    assert rung_once(rig)


@pytest.mark.parametrize(
    ("digit", "outcome"),
    [
        # the dialplan wrote down what the owner answered
        ("0", "agreed"),
        ("5", "disputed"),
        # and that this one hung up; rung again as the rules say, and once more in vain
        ("9", "exhausted"),
        # nobody answered, which is written down as well: the rules go on where they were
        ("6", "exhausted"),
        ("7", "exhausted"),
        ("8", "exhausted"),
    ],
)
async def test_a_call_that_ended_while_the_process_was_down_is_found_out(
    rig: Rig, digit: str, outcome: str
) -> None:
    contact = await start_and_stop(rig, StopsAfterSending, NUMBER + digit)
    await rig.witness.saw(Ended)
    await rig.start()
    assert await rig.conclusion(contact) == outcome
    assert rung_once(rig)


async def test_many_crashes_in_a_row_ring_nobody_twice_and_leave_nothing_open(rig: Rig) -> None:
    contacts = []
    for round_ in range(6):
        await rig.start()
        contacts += [await rig.request(NUMBER + digit) for digit in "0569"]
        await rig.tap.until_heard("ChannelStateDesc: Ringing", times=1 + 2 * round_)
        await rig.crash()
    await rig.start()
    outcomes = [await rig.conclusion(contact) for contact in contacts]
    assert set(outcomes) <= {"agreed", "disputed", "exhausted", "unknown"}
    assert rung_once(rig)
    assert len(await rig.events(ContactConcluded)) == len(contacts)
    for contact in contacts:
        assert {attempt.state for attempt in await rig.attempts(contact)} == {"ended"}


async def test_nothing_is_dialled_before_it_is_known_what_became_of_earlier_calls(rig: Rig) -> None:
    contact = await start_and_stop(rig, StopsAfterSending, NUMBER + "0")
    other = await rig.request(NUMBER + "1")
    rig.tap.lose("Event: CoreShowChannelsComplete")
    await rig.start()
    await rig.tap.until_heard("Event: CoreShowChannelsComplete")
    assert (await rig.attempts(other))[0].state == "queued"
    assert await rig.engine.check() == "finding out what became of earlier calls"
    rig.tap.lose("")
    rig.tap.drop_connections()
    assert await rig.conclusion(contact) == "agreed"
    assert await rig.conclusion(other) == "agreed"
