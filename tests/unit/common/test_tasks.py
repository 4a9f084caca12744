"""Background work goes on after a crash, waits longer each time, and stops when told."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from services.common.clock import ManualClock
from services.common.tasks import Tasks


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def tasks(clock: ManualClock) -> AsyncIterator[Tasks]:
    tasks = Tasks(clock)
    yield tasks
    await tasks.close()


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _starts(clock: ManualClock, starts: list[float], count: int) -> list[float]:
    """Move time on until the work has started `count` times."""
    await _turns()
    while len(starts) < count:
        await clock.advance(0.1)
        await _turns()
    return starts


async def test_work_that_crashes_is_restarted_with_growing_pauses(clock: ManualClock, tasks: Tasks) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(clock.monotonic())
        raise RuntimeError("defect")

    tasks.start("crashing", work)
    await _starts(clock, starts, 9)
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0], abs=0.11)


async def test_work_that_ends_is_restarted_too(clock: ManualClock, tasks: Tasks) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(clock.monotonic())

    tasks.start("ending", work)
    await _starts(clock, starts, 3)
    counted = REGISTRY.get_sample_value("movecar_task_restarts_total", {"task": "ending"})
    assert counted is not None
    assert counted >= 2


async def test_after_a_calm_minute_the_pause_is_short_again(clock: ManualClock, tasks: Tasks) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(clock.monotonic())
        if len(starts) == 5:
            await clock.sleep(61)
        raise RuntimeError("defect")

    tasks.start("calm", work)
    await _starts(clock, starts, 6)
    assert starts[5] - starts[4] == pytest.approx(61.2, abs=0.11)


async def test_closing_waits_until_the_work_has_let_go(clock: ManualClock) -> None:
    tasks = Tasks(clock)
    started, released = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            released.set()

    tasks.start("holding", work)
    await started.wait()
    await tasks.close()
    assert released.is_set()


async def test_closing_gets_through_to_work_that_loses_a_cancellation(clock: ManualClock) -> None:
    tasks = Tasks(clock)
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks.start("deaf", work)
    await started.wait()
    async with asyncio.timeout(60):
        await tasks.close()


async def test_a_name_is_used_once(tasks: Tasks) -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    tasks.start("relay", work)
    with pytest.raises(ValueError, match="relay"):
        tasks.start("relay", work)


async def test_a_closed_set_of_tasks_can_be_used_again(clock: ManualClock, tasks: Tasks) -> None:
    starts: list[float] = []

    async def work() -> None:
        starts.append(clock.monotonic())
        await asyncio.Event().wait()

    for _ in range(2):
        tasks.start("again", work)
        await _turns()
        await tasks.close()
    assert len(starts) == 2
