"""A test's time moves only when told to, and everyone who waits sees the moment they waited for."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.clock import LOCAL_ZONE, ManualClock, SystemClock, local


async def _sleeper(clock: ManualClock, seconds: float, woken: list[tuple[float, float]]) -> None:
    await clock.sleep(seconds)
    woken.append((seconds, clock.monotonic()))


async def test_sleepers_wake_in_the_order_of_their_deadlines_and_see_their_own_moment() -> None:
    clock = ManualClock()
    woken: list[tuple[float, float]] = []
    async with asyncio.TaskGroup() as group:
        for seconds in (30.0, 10.0, 20.0):
            group.create_task(_sleeper(clock, seconds, woken))
        await asyncio.sleep(0)
        await clock.advance(60)
    assert woken == [(10.0, 10.0), (20.0, 20.0), (30.0, 30.0)]
    assert clock.monotonic() == 60


async def test_equal_deadlines_wake_in_the_order_they_were_set() -> None:
    clock = ManualClock()
    order: list[int] = []

    async def wait(number: int) -> None:
        await clock.sleep(5)
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(wait(number))
        await asyncio.sleep(0)
        await clock.advance(5)
    assert order == list(range(10))


async def test_a_sleeper_that_sleeps_again_is_woken_again_within_one_advance() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    async def tick() -> None:
        while True:
            await clock.sleep(10)
            ticks.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await clock.advance(35)
    task.cancel()
    assert ticks == [10, 20, 30]


async def test_nobody_wakes_early() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(10))
    await asyncio.sleep(0)
    await clock.advance(9.999)
    assert not task.done()
    await clock.advance(0.001)
    assert task.done()


async def test_a_cancelled_sleeper_is_no_obstacle() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await clock.advance(20)
    assert clock.monotonic() == 20


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=20))
def test_wall_clock_and_monotonic_clock_move_together(steps: list[float]) -> None:
    async def walk() -> None:
        clock = ManualClock()
        start = clock.now()
        for step in steps:
            await clock.advance(step)
        assert clock.now() - start == timedelta(seconds=clock.monotonic())

    asyncio.run(walk())


async def test_the_system_clock_is_aware_and_yields_for_negative_waits() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(-1)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= before


def test_people_see_beijing_time() -> None:
    assert local(datetime(2026, 4, 1, 16, 30, tzinfo=UTC)).isoformat() == "2026-04-02T00:30:00+08:00"
    assert local(datetime(2026, 4, 1, tzinfo=timezone(timedelta(hours=-5)))).tzinfo is LOCAL_ZONE
