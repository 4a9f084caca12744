import asyncio
from pathlib import Path

import pytest
from sqlalchemy import update

from services.common.ami import NotSent, Refused, Unknown
from services.common.events import AttemptChanged
from services.outbound.calls import Ended
from services.outbound.models import Contact
from services.outbound.pbx import Call, Pbx
from tests.unit.outbound.rig import NUMBER, Rig, rig_on, settings_for


async def test_the_call_is_placed_from_the_approved_caller_id_with_the_plate_to_be_spoken(rig: Rig) -> None:
    placed: list[Call] = []

    class Seen(Pbx):
        async def originate(self, call: Call) -> None:
            placed.append(call)
            await super().originate(call)

    await rig.start(Seen)
    contact = await rig.request(NUMBER + "0")
    await rig.conclusion(contact)
    (call,) = placed
    assert call.caller_id == "0519110"
    assert call.speak == "u82cf-d-1-0-0-0-1"
    assert call.callee == NUMBER + "0"
    assert call.ring_seconds == rig.settings.ring_time


async def test_no_more_calls_are_up_than_there_are_lines(tmp_path: Path) -> None:
    async with rig_on(settings_for(tmp_path, max_concurrent_calls=2)) as rig:
        await rig.start()
        contacts = [await rig.request(NUMBER + "0") for _ in range(7)]
        for contact in contacts:
            assert await rig.conclusion(contact) == "agreed"
        up = most = 0
        for message in rig.tap.heard:
            up += ("Event: Newchannel" in message) - ("Event: Hangup" in message)
            most = max(most, up)
        assert most == 2


async def test_calls_are_placed_in_the_order_they_fell_due(tmp_path: Path) -> None:
    async with rig_on(settings_for(tmp_path, max_concurrent_calls=1)) as rig:
        contacts = [await rig.request(NUMBER + digit) for digit in "3142"]
        await rig.start()
        for contact in contacts:
            await rig.conclusion(contact)
        assert [number[-1] for number in rig.tap.dialled] == list("3142")


async def test_two_dialers_never_claim_the_same_attempt(rig: Rig) -> None:
    for _ in range(20):
        await rig.request(NUMBER + "0")
    taken = await asyncio.gather(*(rig.claim(3) for _ in range(8)))
    ids = [call.record.id for calls in taken for call in calls]
    assert len(ids) == len(set(ids)) == 20


async def test_the_claim_is_committed_and_told_before_anything_is_placed(rig: Rig) -> None:
    contact = await rig.request(NUMBER + "0")
    (call,) = await rig.claim(10)
    (attempt,) = await rig.attempts(contact)
    assert (attempt.state, attempt.claimed_by, attempt.version) == ("dialing", rig.settings.instance, 2)
    (told,) = await rig.events(AttemptChanged)
    assert (told.attempt_id, told.state, told.version) == (call.record.id, "dialing", 2)
    assert rig.tap.dialled == []


async def test_what_is_not_due_is_left_and_its_time_is_known(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "7")
    await rig.witness.saw(Ended)
    assert await rig.conclusion(contact) == "exhausted"
    first, second = await rig.attempts(contact)
    assert first.ended_at is not None
    assert second.dialed_at is not None
    waited = (second.dialed_at - first.ended_at).total_seconds()
    assert waited >= rig.settings.redial.no_answer[0]


async def test_what_was_provably_not_sent_is_dialled_again_as_the_same_attempt(rig: Rig) -> None:
    class FailsOnce(Pbx):
        tries = 0

        async def originate(self, call: Call) -> None:
            FailsOnce.tries += 1
            if FailsOnce.tries == 1:
                raise NotSent("not_sent_in_time")
            await super().originate(call)

    await rig.start(FailsOnce)
    contact = await rig.request(NUMBER + "0")
    assert await rig.conclusion(contact) == "agreed"
    (attempt,) = await rig.attempts(contact)
    assert rig.tap.asked == {attempt.id: 1}
    states = [change.state for change in await rig.events(AttemptChanged, contact)]
    assert states[:3] == ["dialing", "queued", "dialing"]


async def test_what_asterisk_refuses_is_a_fault_of_ours_and_not_tried_again(rig: Rig) -> None:
    class Refuses(Pbx):
        async def originate(self, call: Call) -> None:
            raise Refused("Originate failed")

    await rig.start(Refuses)
    contact = await rig.request(NUMBER + "0", NUMBER + "1")
    assert await rig.conclusion(contact) == "failed"
    assert [row.outcome for row in await rig.attempts(contact)] == ["failed"]
    await rig.lines_free()


async def test_an_originate_without_an_answer_is_followed_by_its_events(rig: Rig) -> None:
    class NeverHears(Pbx):
        async def originate(self, call: Call) -> None:
            await super().originate(call)
            raise Unknown("no_answer_in_time")

    await rig.start(NeverHears)
    contact = await rig.request(NUMBER + "5")
    assert await rig.conclusion(contact) == "disputed"
    assert set(rig.tap.asked.values()) == {1}


async def test_a_switch_that_hangs_is_given_no_further_call_until_it_answers(rig: Rig) -> None:
    asked: list[str] = []
    goes_on = asyncio.Event()

    class Hangs(Pbx):
        async def originate(self, call: Call) -> None:
            asked.append(call.attempt_id)
            await goes_on.wait()
            await super().originate(call)

    engine = await rig.start(Hangs)
    first = await rig.request(NUMBER + "0")
    async with asyncio.timeout(10):
        while not asked or engine.switchboard.free:  # noqa: ASYNC110 - what is waited for is the time itself
            await asyncio.sleep(0.01)
    later = [await rig.request(NUMBER + "0") for _ in range(5)]
    claimed, _ = await engine.dialer.claim(5)
    assert (claimed, len(asked)) == ([], 1)
    goes_on.set()
    for contact in (first, *later):
        assert await rig.conclusion(contact) == "agreed"


@pytest.mark.parametrize("field", ["plate_sealed", "numbers_sealed"])
async def test_a_number_or_plate_that_was_tampered_with_rings_nobody(rig: Rig, field: str) -> None:
    contact = await rig.request(NUMBER + "0")
    foreign = rig.keys.seal(NUMBER + "1", "contact:" + "0" * 32)
    async with rig.database.transaction() as session:
        value = [foreign] if field == "numbers_sealed" else foreign
        await session.execute(update(Contact).values({field: value}))
    await rig.start()
    assert await rig.conclusion(contact) == "failed"
    assert rig.tap.dialled == []
