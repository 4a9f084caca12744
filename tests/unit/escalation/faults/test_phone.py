"""The desk's line as a channel of notices: a key is the proof, and nobody is rung without end (C4)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.common.clock import ManualClock
from services.escalation.desk_calls.line import DeskLine
from services.escalation.faults.channels.contract import NotDelivered
from services.escalation.faults.channels.phone import PhoneChannel
from services.escalation.faults.notices import Notice, write
from services.escalation.faults.records import Duty, Fault
from tests.unit.escalation.chain.conftest import desk_line

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def notice() -> Notice:
    fault = Fault(
        id="f1",
        component="database",
        reason="",
        began_at=NOW,
        detected_at=NOW,
        source="probe",
        audiences="desk",
    )
    return write(Duty("f1-fault-desk", "f1", "fault", "desk", NOW, NOW + timedelta(minutes=30)), fault)


async def test_a_key_pressed_at_the_desk_is_the_proof() -> None:
    async with desk_line("051981997321") as (line, _):
        channel = PhoneChannel(line, ManualClock(), "0519-81997321")
        by, proof = await channel.deliver(notice())
        assert "0519-81997321" in by
        assert proof.startswith("按键 1")


@pytest.mark.parametrize("number", ["051981997325", "051981997326", "051981997328"])
async def test_nothing_but_the_key_is_a_proof(number: str) -> None:
    async with desk_line(number) as (line, _):
        channel = PhoneChannel(line, ManualClock(), number)
        with pytest.raises(NotDelivered):
            await channel.deliver(notice())


async def test_the_desk_is_left_in_peace_between_calls_about_one_notice() -> None:
    async with desk_line("051981997326") as (line, pbx):
        clock = ManualClock()
        channel = PhoneChannel(line, clock, "desk")
        for expected in ("busy", "稍后再次呼叫"):
            with pytest.raises(NotDelivered, match=expected):
                await channel.deliver(notice())
        await clock.advance(91)
        with pytest.raises(NotDelivered, match="busy"):
            await channel.deliver(notice())
        await pbx.stop()


async def test_without_a_switch_the_notice_is_not_delivered() -> None:
    async with desk_line("051981997321") as (line, pbx):
        await pbx.stop()
        await line_is_down(line)
        with pytest.raises(NotDelivered, match="交换机"):
            await PhoneChannel(line, ManualClock(), "desk").deliver(notice())


async def line_is_down(line: DeskLine) -> None:
    async with asyncio.timeout(60):
        while line.connected:  # noqa: ASYNC110 - the link has no event for it
            await asyncio.sleep(0.01)
