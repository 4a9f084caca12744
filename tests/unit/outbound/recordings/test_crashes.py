"""Wherever the collector dies, the next one ends with each recording stored and told of once."""

import asyncio
import errno
import os
import random
import resource
import signal
from collections.abc import Callable
from typing import Any

import pytest

from services.common.vault import Draft, Vault
from services.outbound.recordings import keeper
from services.outbound.recordings.catalogue import Catalogue
from services.outbound.recordings.collector import Stalled
from services.outbound.recordings.spool import Spool, Taken
from tests.unit.outbound.recordings.child import collecting
from tests.unit.outbound.recordings.desk import Desk

DEADLINE = 60.0


class Killed(BaseException):
    """The process ends here."""


def dying(step: Callable[..., Any], before: bool) -> Callable[..., Any]:
    """Return a step at which the process dies, before it does anything or right after."""

    def die(*arguments: Any, **named: Any) -> Any:
        held = None if before else step(*arguments, **named)
        if isinstance(held, Taken):
            held.close()  # as the kernel does for the dead
        raise Killed

    async def die_later(*arguments: Any, **named: Any) -> Any:
        if not before:
            await step(*arguments, **named)
        raise Killed

    return die_later if asyncio.iscoroutinefunction(step) else die


STEPS: list[tuple[Any, str]] = [
    # every step between a file in the spool and its deletion, in order
    (Spool, "listing"),
    (Catalogue, "calls_of"),
    (Spool, "take"),
    (Vault, "draft"),
    (Draft, "sync"),
    (Draft, "move"),
    (keeper, "synchronise"),
    (Vault, "digest"),
    (Taken, "check_unchanged"),
    (Catalogue, "settle_kept"),
    (Taken, "remove"),
]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=lambda value: getattr(value, "__name__", value))
async def test_a_process_that_dies_at_any_step_loses_and_doubles_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str, before: bool
) -> None:
    attempts = [await desk.call() for _ in range(3)]
    sounds = {attempt: desk.record(attempt, level=level) for level, attempt in enumerate(attempts, 100)}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, step, dying(getattr(owner, step), before))
        await desk.collector.collect()
    desk.collector = desk.new_collector()
    await desk.collector.collect()
    assert {attempt: await desk.plain(attempt) for attempt in attempts} == sounds
    assert sorted(event.attempt_id for event in await desk.told()) == sorted(attempts)
    assert (desk.left(), await desk.incidents()) == ([], [])
    assert len([path for path in desk.store.rglob("*") if path.is_file()]) == 3


async def test_a_collector_that_is_killed_again_and_again_stores_everything_once(desk: Desk) -> None:
    attempts = [await desk.call() for _ in range(40)]
    sounds = {attempt: desk.record(attempt, level=level) for level, attempt in enumerate(attempts, 100)}
    for _ in range(4):
        async with collecting(desk.home, desk.database.url) as child:
            settled = len(await desk.rows())
            await until(lambda settled=settled: more_than(desk, settled))  # type: ignore[misc]
            await asyncio.sleep(random.random() * 0.05)  # a kill has no favourite moment
            child.send_signal(signal.SIGKILL)
            await child.wait()
        if not desk.left():
            break
    await desk.collector.collect()
    assert {attempt: await desk.plain(attempt) for attempt in attempts} == sounds
    assert sorted(event.attempt_id for event in await desk.told()) == sorted(attempts)
    assert (desk.left(), await desk.incidents()) == ([], [])


async def test_two_processes_that_share_a_spool_store_everything_once(desk: Desk) -> None:
    attempts = [await desk.call() for _ in range(40)]
    for level, attempt in enumerate(attempts, 100):
        desk.record(attempt, level=level)
    async with (
        collecting(desk.home, desk.database.url),
        collecting(desk.home, desk.database.url),
    ):
        await until(lambda: more_than(desk, 39))
        await until(lambda: empty(desk))
    assert sorted(event.attempt_id for event in await desk.told()) == sorted(attempts)
    assert await desk.incidents() == []


async def test_what_the_store_cannot_take_stays_in_the_spool_and_holds_nothing_else_up(desk: Desk) -> None:
    long, short = await desk.call(seconds=600, ago=3), await desk.call(ago=2)
    sounds = {long: desk.record(long, 600), short: desk.record(short)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))  # the kernel refuses the long one
    try:
        for _ in range(2):
            with pytest.raises(Stalled, match="File too large"):
                await desk.collector.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert await desk.states() == {short: ("kept", None)}
    assert desk.left() == [f"{long}.wav"]
    assert await desk.incidents() == [("recordings_stalled", desk.collector.place)]
    await desk.collector.collect()
    assert {attempt: await desk.plain(attempt) for attempt in sounds} == sounds
    assert (desk.left(), await desk.incidents()) == ([], [])


@pytest.mark.parametrize(("owner", "step"), [(Draft, "sync"), (Draft, "move"), (keeper, "synchronise")])
async def test_a_disk_that_fails_once_costs_no_recording(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    attempts = [await desk.call() for _ in range(4)]
    sounds = {attempt: desk.record(attempt, level=level) for level, attempt in enumerate(attempts, 100)}
    works = getattr(owner, step)
    failed: list[Any] = []

    def fail_once(*arguments: Any) -> None:
        if not failed:
            failed.append(arguments)
            if isinstance(arguments[0], Draft) and step == "sync":
                arguments[0].discard()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        works(*arguments)

    monkeypatch.setattr(owner, step, fail_once)
    with pytest.raises(Stalled, match="Input/output error"):
        await desk.collector.collect()
    assert 1 <= len(desk.left()) < 4
    await desk.collector.collect()
    assert {attempt: await desk.plain(attempt) for attempt in attempts} == sounds
    assert (desk.left(), await desk.incidents()) == ([], [])
    assert sorted(event.attempt_id for event in await desk.told()) == sorted(attempts)


async def until(reached: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await reached():  # noqa: ASYNC110 # another process does it
            await asyncio.sleep(0.01)


async def more_than(desk: Desk, rows: int) -> bool:
    return len(await desk.rows()) > rows or not desk.left()


async def empty(desk: Desk) -> bool:
    return not desk.left()
