"""The line to the PBX breaks, or the PBX fails, or another instance does: what was missed is found out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from services.common.clock import SystemClock
from services.outbound.attempts import UP
from services.outbound.calls import Ended, KeyPressed
from services.outbound.models import Attempt
from services.outbound.sandbox import SandboxPbx
from services.outbound.sweep import CALL_SECONDS, FOREIGN_MARGIN_SECONDS, MARGIN_SECONDS
from tests.unit.outbound.rig import NUMBER, Rig, Tap


@contextlib.asynccontextmanager
async def another_pbx(rig: Rig, speed: float) -> AsyncIterator[SandboxPbx]:
    """Have the rig's caller use a PBX of another speed."""
    async with SandboxPbx("movecar", "secret", SystemClock(), speed=speed) as pbx, Tap(pbx.port) as tap:
        rig.tap = tap
        yield pbx
        await rig.crash()


@pytest.mark.parametrize(
    "moment",
    [
        "ChannelStateDesc: Ringing",
        "ChannelStateDesc: Up",
        "Phase: start",
        "Phase: end",
        "UserEvent: MovecarKey",
        "Event: Hangup",
    ],
)
async def test_a_connection_that_breaks_in_the_middle_of_a_call_loses_no_answer(
    rig: Rig, moment: str
) -> None:
    await rig.start()
    rig.tap.drop_before(moment)
    contact = await rig.request(NUMBER + "5")
    assert await rig.conclusion(contact) == "disputed"
    assert set(rig.tap.asked.values()) == {1}


async def test_a_call_that_rings_out_across_a_broken_connection_is_redialled_by_its_cause(rig: Rig) -> None:
    await rig.start()
    rig.tap.drop_before("ChannelStateDesc: Ringing")
    contact = await rig.request(NUMBER + "7")
    assert await rig.conclusion(contact) == "exhausted"
    assert [row.outcome for row in await rig.attempts(contact)] == ["no_answer", "no_answer"]


async def test_an_answer_given_while_the_line_was_down_is_read_when_it_is_back(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "0")
    await rig.tap.until_heard("ChannelStateDesc: Up")
    await rig.tap.cut()
    await rig.witness.saw(Ended)
    assert await rig.engine.check() is not None
    await rig.tap.restore()
    assert await rig.conclusion(contact) == "agreed"
    (attempt,) = await rig.attempts(contact)
    assert attempt.ended_at is not None


async def test_an_answer_given_while_the_line_was_down_concludes_before_the_call_ends(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "0")
    await rig.tap.until_heard("Phase: end")
    await rig.tap.cut()
    await rig.witness.saw(KeyPressed)
    await rig.tap.restore()
    assert await rig.conclusion(contact) == "agreed"


async def test_an_unanswered_call_that_ended_while_the_line_was_down_is_found_out(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "8", NUMBER + "0")
    await rig.tap.until_heard("ChannelStateDesc: Ringing")
    await rig.tap.cut()
    await rig.witness.saw(Ended)
    await rig.tap.restore()
    assert await rig.conclusion(contact) == "agreed"
    assert rig.tap.dialled == [NUMBER + "8", NUMBER + "0"]
    declined, _ = await rig.attempts(contact)
    assert (declined.outcome, declined.answered_at) == ("declined", None)


async def test_what_is_requested_while_the_line_is_down_is_dialled_when_it_is_back(rig: Rig) -> None:
    await rig.tap.cut()
    await rig.start()
    contact = await rig.request(NUMBER + "0")
    assert str(await rig.engine.check()).startswith("link to the PBX is down: ")
    assert (await rig.attempts(contact))[0].state == "queued"
    await rig.tap.restore()
    assert await rig.conclusion(contact) == "agreed"
    assert await rig.engine.check() is None


async def test_calls_of_a_pbx_that_lost_power_are_unknown_and_not_placed_again(rig: Rig) -> None:
    async with another_pbx(rig, speed=20) as doomed:
        await rig.start()
        contact = await rig.request(NUMBER + "0", NUMBER + "1")
        await rig.tap.until_heard("ChannelStateDesc: Up")
        await doomed.stop()
        await doomed.start()
        assert await rig.conclusion(contact) == "unknown"
        assert rig.tap.dialled == [NUMBER + "0"]


async def overdue(rig: Rig, seconds: float) -> None:
    rig.clock.shift += timedelta(seconds=seconds)
    await rig.engine.sweep.check_overdue()
    await rig.engine.journal.settle()


async def test_a_call_whose_end_was_never_heard_is_found_out_when_its_time_is_over(rig: Rig) -> None:
    await rig.start()
    rig.tap.lose("Event: Hangup")
    contact = await rig.request(NUMBER + "8")
    await rig.witness.saw(Ended)
    await overdue(rig, rig.settings.ring_time)
    assert (await rig.attempts(contact))[0].state in UP
    await overdue(rig, MARGIN_SECONDS + 1)
    assert await rig.conclusion(contact) == "exhausted"
    assert (await rig.attempts(contact))[0].outcome == "declined"
    await rig.lines_free()


async def test_an_answer_that_was_never_heard_is_read_when_the_time_of_the_call_is_over(rig: Rig) -> None:
    await rig.start()
    rig.tap.lose("Event: UserEvent")
    contact = await rig.request(NUMBER + "5")
    await rig.tap.until_heard("ChannelStateDesc: Up")
    rig.tap.lose("Event: ")
    await rig.witness.saw(Ended)
    rig.tap.lose("Event: Hangup")
    await overdue(rig, CALL_SECONDS + MARGIN_SECONDS + 1)
    assert await rig.conclusion(contact) == "disputed"


async def test_a_call_that_does_not_end_when_it_should_is_hung_up(rig: Rig) -> None:
    async with another_pbx(rig, speed=0.01):
        await rig.start()
        contact = await rig.request(NUMBER + "0")
        await rig.tap.until_heard("Event: Newchannel")
        await overdue(rig, rig.settings.ring_time + MARGIN_SECONDS + 1)
        assert await rig.conclusion(contact) == "unknown"


async def test_a_call_of_an_instance_that_died_is_found_out_by_another_one(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "0")
    await rig.tap.until_heard("ChannelStateDesc: Up")
    await rig.crash()
    async with rig.database.transaction() as session:
        await session.execute(update(Attempt).values(claimed_by="2"))
    await rig.witness.saw(Ended)
    await rig.start()
    await rig.conclusion(await rig.request(NUMBER + "1"))  # it is connected, and has looked at its own calls
    seconds = rig.settings.ring_time + MARGIN_SECONDS + 1
    await overdue(rig, seconds)
    assert (await rig.attempts(contact))[0].state != "ended"
    await overdue(rig, CALL_SECONDS + FOREIGN_MARGIN_SECONDS)
    assert await rig.conclusion(contact) == "agreed"


async def test_events_of_calls_that_are_not_ours_are_passed_over(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "0")
    rig.engine.followers["main"].take([Ended("f" * 32, 17), KeyPressed("f" * 32, "2")])
    assert await rig.conclusion(contact) == "agreed"


async def test_a_fault_of_ours_while_following_makes_the_caller_ask_what_it_missed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await rig.start()
    contact = await rig.request(NUMBER + "0")
    await rig.tap.until_heard("ChannelStateDesc: Up")

    def broken(_: object) -> None:
        raise ValueError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(engine.followers["main"], "take", broken)
        await rig.witness.saw(Ended)
        assert isinstance(await rig.fault("follower.main"), ValueError)
    restarted = asyncio.create_task(engine.followers["main"].run())
    assert await rig.conclusion(contact) == "agreed"
    restarted.cancel()
    await asyncio.gather(restarted, return_exceptions=True)
