"""Several callers on one PostgreSQL and one PBX."""

import asyncio
import random
from pathlib import Path

import pytest
from sqlalchemy import select

from deploy.stack.postgres import Postgres
from services.common.events import AttemptChanged, ContactConcluded, ContactRequested
from services.outbound.models import Attempt
from tests.unit.outbound.rig import NUMBER, Rig, rig_on, settings_for

CALLS = 60


async def test_two_instances_share_the_queue_and_ring_nobody_twice(rig: Rig) -> None:
    async with rig.sibling("2") as other:
        await rig.start()
        await other.start()
        requests: list[ContactRequested] = []
        claimed: set[str | None] = set()
        async with asyncio.timeout(60):
            while claimed != {"1", "2"}:  # whichever is woken first may take all of a round
                more = [rig.requested([NUMBER + digit]) for digit in "0569" * (CALLS // 4)]
                await rig.handle(*more[::2])
                await other.handle(*more[1::2])
                requests.extend(more)
                await rig.until(ContactConcluded, lambda events: len(events) == len(requests))
                async with rig.database.reading() as session:
                    claimed = set(await session.scalars(select(Attempt.claimed_by).distinct()))
        concluded = {event.contact_id for event in await rig.events(ContactConcluded)}
        assert concluded == {request.contact_id for request in requests}
    assert set(rig.tap.asked.values()) == {1}


async def test_versions_of_an_attempt_are_told_in_order_and_without_repeats(rig: Rig) -> None:
    async with rig.sibling("2") as other:
        await rig.start()
        await other.start()
        await rig.handle(*(rig.requested([NUMBER + "6"]) for _ in range(20)))
        await rig.until(ContactConcluded, lambda events: len(events) == 20)
        versions: dict[str, list[int]] = {}
        for event in await rig.events(AttemptChanged):
            versions.setdefault(event.attempt_id, []).append(event.version)
    assert len(versions) == 60
    for told in versions.values():
        assert told == sorted(set(told))


async def test_a_withdrawal_that_meets_a_redial_leaves_nothing_to_ring(rig: Rig) -> None:
    """Whichever of the two comes first, no attempt is queued or up afterwards that was not up before."""
    await rig.start()
    contacts = [await rig.request(NUMBER + "6") for _ in range(30)]
    for contact in contacts:
        await rig.reached(contact, "dialing")

    async def withdraw(contact: str) -> None:
        await asyncio.sleep(random.random() * 0.1)  # anywhere around the end of the call
        await rig.withdraw(contact)

    await asyncio.gather(*map(withdraw, contacts))
    async with asyncio.timeout(60):
        while rig.engine.lines.up:
            await rig.engine.journal.settle()
            await asyncio.sleep(0.01)
    for contact in contacts:
        assert {attempt.state for attempt in await rig.attempts(contact)} == {"ended"}


async def test_a_database_server_that_is_killed_under_load_loses_no_call(
    tmp_path: Path, server_home: Path
) -> None:
    server = Postgres(server_home / "killed-under-calls")
    server.start()
    try:
        server.ensure_database()
        async with rig_on(settings_for(tmp_path, database_url=server.url())) as rig:
            await rig.start()
            requests = [rig.requested([NUMBER + digit]) for digit in "05" * 10]
            await rig.handle(*requests)
            await rig.tap.until_heard("ChannelStateDesc: Ringing", times=10)
            await asyncio.to_thread(server.kill)
            await rig.witness.quiet()
            await asyncio.to_thread(server.start)
            outcomes = [await rig.conclusion(request.contact_id) for request in requests]
    finally:
        server.stop()
    assert set(outcomes) <= {"agreed", "disputed", "unknown"}
    assert outcomes.count("unknown") <= 10, "only what was being claimed may be unknown"
    assert set(rig.tap.asked.values()) == {1}


@pytest.mark.parametrize("round_", range(3))
async def test_killed_instances_leave_nothing_open_and_nobody_rung_twice(rig: Rig, round_: int) -> None:
    async with rig.sibling("2") as other:
        await rig.start()
        await other.start()
        requests = [rig.requested([NUMBER + digit]) for digit in "0569" * 5]
        await rig.handle(*requests)
        for _ in range(4):
            await asyncio.sleep(random.random() * 0.1)  # a crash has no favourite moment
            victim = random.choice([rig, other])
            await victim.crash()
            await victim.start()
        outcomes = [await rig.conclusion(request.contact_id) for request in requests]
    assert set(outcomes) <= {"agreed", "disputed", "exhausted", "unknown"}
    assert set(rig.tap.asked.values()) <= {1}
