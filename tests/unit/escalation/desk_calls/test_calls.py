"""The desk's line rings, says what waits, and a key acknowledges (C3)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from services.common.events import HandOverEnded
from services.common.ids import new_id
from services.common.models import OutboxEntry
from services.common.speech import CHARACTERS, DESK_PHRASES
from services.escalation.desk_calls.line import Outcome
from services.escalation.desk_calls.speech import escalation_words
from tests.unit.escalation.chain.conftest import DEADLINE, Desk, desk_line, desk_with


@asynccontextmanager
async def on_the_phone(directory: Path, number: str) -> AsyncIterator[Desk]:
    async with desk_line(number) as (line, _), desk_with(directory, line) as desk:
        yield desk


async def test_the_key_on_the_desks_line_acknowledges(tmp_path: Path) -> None:
    async with on_the_phone(tmp_path, "051981997321") as desk:
        escalation = await desk.escalate("emergency_help")
        await desk.later(0)
        assert await desk.calls.place_next()
        row, call = await desk.one(escalation), await desk.call()
        assert (row.status, row.acknowledged_by) == ("acknowledged", "desk-line")
        assert (call.outcome, call.key) == ("acknowledged", "1")
        assert call.answered_at is not None
        assert (await desk.items())[-1][0] == "escalation.acknowledged"
        assert not await desk.calls.place_next()


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        ("051981997325", "not_confirmed"),  # presses another key
        ("051981997326", "busy"),
        ("051981997327", "no_answer"),  # rings out
        ("051981997328", "failed"),  # declines
        ("051981997329", "not_confirmed"),  # hangs up at once
    ],
)
async def test_a_call_that_confirms_nothing_acknowledges_nothing(
    tmp_path: Path, number: str, outcome: Outcome
) -> None:
    async with on_the_phone(tmp_path, number) as desk:
        escalation = await desk.escalate("emergency_help")
        await desk.later(0)
        assert await desk.calls.place_next()
        assert (await desk.call()).outcome == outcome
        assert (await desk.one(escalation)).status == "raised"
        # and the chain calls again
        for _ in range(3):
            await desk.later(120)
        assert await desk.calls.place_next()


async def test_a_call_that_waits_is_dropped_when_somebody_acknowledges_on_the_screen(tmp_path: Path) -> None:
    async with on_the_phone(tmp_path, "051981997321") as desk:
        escalation = await desk.escalate("emergency_help")
        await desk.later(0)
        await desk.acknowledge(escalation)
        assert not await desk.calls.place_next()
        call = await desk.call()
        assert (call.state, call.outcome, call.dialed_at) == ("ended", None, None)


async def test_without_a_line_the_call_waits_and_the_chain_goes_on(tmp_path: Path) -> None:
    async with desk_with(tmp_path, None) as desk:
        await desk.escalate("emergency_help")
        await desk.later(0)
        assert not await desk.calls.place_next()
        assert await desk.later(60) == ["call", "remind"]


async def test_a_call_cut_off_by_our_own_end_is_unknown_and_made_again(tmp_path: Path) -> None:
    async with on_the_phone(tmp_path, "051981997321") as desk:
        await desk.escalate("emergency_help")
        await desk.later(0)
        assert await desk.calls._claim() is not None  # and here the process dies
        await desk.calls._settle_abandoned(own=True)
        assert (await desk.call()).outcome == "unknown"
        await desk.later(60)
        await desk.later(120)
        await desk.later(120)
        assert await desk.calls.place_next()


async def test_a_call_whose_end_is_not_seen_is_unknown(tmp_path: Path) -> None:
    async with desk_line("051981997321", speed=0.001) as (line, pbx):
        calling = asyncio.create_task(line.call(new_id(), ("desk-head", "desk-confirm")))
        async with asyncio.timeout(DEADLINE):
            while not pbx.calls:  # noqa: ASYNC110 - the switch tells nobody here
                await asyncio.sleep(0.005)
        await pbx.stop()
        assert (await calling).outcome == "unknown"


@pytest.mark.parametrize(
    ("reason", "plate", "words"),
    [
        # why, and for which car
        ("dispute", "苏D1", ["desk-r-dispute", "desk-plate", "c-u82cf", "c-d", "c-1"]),
        ("emergency_help", None, ["desk-r-emergency_help"]),  # no plate known
        ("dispute", "军A12345", ["desk-r-dispute"]),  # one that has no prompts
        ("something_new", "苏D1", ["desk-plate", "c-u82cf", "c-d", "c-1"]),  # a reason of a later version
    ],
)
def test_the_desk_is_told_why_and_for_which_car(reason: str, plate: str | None, words: list[str]) -> None:
    said = escalation_words(reason, plate)
    assert list(said) == ["desk-head", "desk-escalation", *words, "desk-confirm"]
    assert all(word in DESK_PHRASES or word.removeprefix("c-") in CHARACTERS for word in said)


async def test_a_conversation_is_joined_before_any_notice_is_given(tmp_path: Path) -> None:
    async with on_the_phone(tmp_path, "051981997321") as desk:
        urgent, talking = await desk.escalate("emergency_help"), await desk.escalate()
        await desk.later(0)
        async with desk.kernel.database.transaction() as session:
            row = await desk.rules.load(session, talking)
            await desk.calls.ask_to_join(session, row, new_id())
        assert await desk.calls.place_next()
        assert (await desk.one(talking)).status == "acknowledged"
        assert (await desk.one(urgent)).status == "raised"
        assert await ended(desk) == ["acknowledged"]


async def test_a_desk_that_does_not_answer_leaves_the_conversation_as_it_was(tmp_path: Path) -> None:
    async with on_the_phone(tmp_path, "051981997326") as desk:
        escalation = await desk.escalate()
        async with desk.kernel.database.transaction() as session:
            await desk.calls.ask_to_join(session, await desk.rules.load(session, escalation), new_id())
        assert await desk.calls.place_next()
        assert (await desk.one(escalation)).status == "raised"
        assert await ended(desk) == ["busy"]


async def ended(desk: Desk) -> list[str]:
    """What the operators were told of conversations that the desk was called into."""
    async with desk.kernel.database.reading() as session:
        rows = await session.scalars(
            select(OutboxEntry.payload).where(OutboxEntry.type == HandOverEnded.TYPE).order_by(OutboxEntry.id)
        )
        return [payload["outcome"] for payload in rows]
