"""Trunks that fail, nodes that die, processes that die: calls go elsewhere, and nobody is rung twice."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from services.common.clock import SystemClock
from services.common.database import Database
from services.common.events import IncidentClosed, IncidentOpened
from services.outbound import instances
from services.outbound.calls import Ended, TrunkSeen
from services.outbound.lines import Route
from services.outbound.models import Attempt
from services.outbound.sandbox import SandboxPbx
from services.outbound.sweep import AWAY_SECONDS
from services.outbound.trunks import OWNERS_IN_A_ROW, TrunkState
from tests.support.tables import create_tables
from tests.unit.outbound.rig import DEADLINE, NUMBER, Rig, ShiftedClock, Tap, Witness, rig_on, settings_for

TRUNKS = '[{"name":"carrier","uri":"sip:a.example"},{"name":"brokenx","uri":"sip:b.example"}]'
BROKEN = Route("main", "brokenx")


async def eventually(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until something holds that is not told of."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)


async def all_attempts(rig: Rig) -> list[Attempt]:
    async with rig.database.reading() as session:
        rows = await session.scalars(select(Attempt).order_by(Attempt.contact_id, Attempt.number))
        return list(rows)


@pytest.fixture
async def two_trunks(tmp_path: Path) -> AsyncIterator[Rig]:
    """A caller with two trunks, one of which answers every call 503."""
    async with rig_on(settings_for(tmp_path, trunks=TRUNKS)) as rig:
        yield rig


async def test_calls_that_a_trunk_refuses_go_over_the_other_one_at_once(two_trunks: Rig) -> None:
    rig = two_trunks
    await rig.start()
    digits = "05" * 8
    contacts = [await rig.request(NUMBER + digit) for digit in digits]
    outcomes = [await rig.conclusion(contact) for contact in contacts]
    assert outcomes == [{"0": "agreed", "5": "disputed"}[digit] for digit in digits]
    attempts = await all_attempts(rig)
    refused = [attempt for attempt in attempts if attempt.trunk == "brokenx"]
    assert 1 <= len(refused) < len(contacts)
    assert {(row.outcome, row.sip_status, row.reason) for row in refused} == {("congestion", 503, "sip_503")}
    moved = [attempt for attempt in attempts if attempt.moved]
    assert {attempt.contact_id for attempt in moved} == {attempt.contact_id for attempt in refused}
    assert all(attempt.trunk == "carrier" and attempt.number == 2 for attempt in moved)
    assert all(attempt.due_at == attempt.queued_at for attempt in moved)
    assert set(rig.tap.asked.values()) == {1}


async def test_a_trunk_that_keeps_failing_is_left_alone_and_an_incident_says_so(two_trunks: Rig) -> None:
    rig = two_trunks
    await rig.start()
    for _ in range(4 * OWNERS_IN_A_ROW):
        # Two at a time: a single one would find the preferred trunk free.
        contacts = [await rig.request(NUMBER + "0") for _ in range(2)]
        assert [await rig.conclusion(contact) for contact in contacts] == ["agreed", "agreed"]
    assert rig.engine.switchboard.trunks[BROKEN].state is TrunkState.OUT
    used = Counter(attempt.trunk for attempt in await all_attempts(rig))
    assert used["brokenx"] == OWNERS_IN_A_ROW
    (opened,) = await rig.until(IncidentOpened, bool)
    assert (opened.kind, opened.subject) == ("trunk_out", "main/brokenx")
    assert await rig.engine.check() is None


async def test_a_trunk_that_asterisk_finds_again_is_tried_and_its_incident_closed(two_trunks: Rig) -> None:
    rig = two_trunks
    engine = await rig.start()
    await rig.conclusion(await rig.request(NUMBER + "0"))
    route = Route("main", "carrier")
    engine.switchboard.reported("main", "carrier", "unreachable", well=False)
    await rig.until(IncidentOpened, lambda events: any(event.subject == "main/carrier" for event in events))
    engine.switchboard.reported("main", "carrier", "unreachable", well=True)
    assert engine.switchboard.trunks[route].state is TrunkState.PROBING
    assert await rig.conclusion(await rig.request(NUMBER + "0")) == "agreed"
    await rig.until(IncidentClosed, lambda events: any(event.subject == "main/carrier" for event in events))


async def test_while_no_trunk_works_calls_wait_and_the_service_is_not_ready(two_trunks: Rig) -> None:
    rig = two_trunks
    engine = await rig.start()
    await rig.conclusion(await rig.request(NUMBER + "0"))
    for name in ("carrier", "brokenx"):
        engine.switchboard.reported("main", name, "unreachable", well=False)
    contact = await rig.request(NUMBER + "0")
    assert "every trunk is out of service" in str(engine.switchboard.problem())
    assert (await engine.check(), await engine.trunks_out()) == (None, None)
    assert "no trunk is in service" in str(await engine.check_trunk())
    assert (await rig.attempts(contact))[0].state == "queued"
    engine.switchboard.reported("main", "carrier", "unreachable", well=True)
    assert await rig.conclusion(contact) == "agreed"


async def test_what_is_said_of_an_unknown_trunk_changes_nothing(two_trunks: Rig) -> None:
    board = two_trunks.engine.switchboard
    before = {route: trunk.state for route, trunk in board.trunks.items()}
    seen = TrunkSeen("elsewhere", "unreachable", well=False)
    board.reported("main", seen.trunk, seen.reason, well=seen.well)
    assert {route: trunk.state for route, trunk in board.trunks.items()} == before


class TwoNodes(Rig):
    """A caller with two Asterisk nodes, `main` and `other`."""

    other_tap: Tap

    def nodes(self) -> dict[str, int]:
        return {**super().nodes(), "other": self.other_tap.port}


@contextlib.asynccontextmanager
async def on_two_nodes(directory: Path, speed: float = 20) -> AsyncIterator[tuple[TwoNodes, SandboxPbx]]:
    """Yield the caller, and the node `main` that can be stopped."""
    clock, settings = ShiftedClock(), settings_for(directory)
    database = Database(settings.database)
    await create_tables(database)
    async with (
        SandboxPbx("movecar", "secret", SystemClock(), speed=speed) as first,
        SandboxPbx("movecar", "secret", SystemClock(), speed=speed) as second,
        Tap(first.port) as tap,
        Tap(second.port) as other_tap,
        Witness(second.port) as witness,
    ):
        TwoNodes.other_tap = other_tap
        rig = TwoNodes(settings, database, tap, witness, clock)
        try:
            yield rig, first
        finally:
            await rig.stop()
            await database.close()


async def by_node(rig: Rig, state: str, node: str) -> list[Attempt]:
    """Wait until an attempt on the node is in this state; return all of them."""
    found: list[Attempt] = []

    async def look() -> bool:
        found[:] = [row for row in await all_attempts(rig) if (row.state, row.node) == (state, node)]
        return bool(found)

    await eventually(look)
    return found


async def both_up(rig: Rig) -> None:
    async def look() -> bool:
        return len(rig.engine.switchboard.open_nodes) == 2

    await eventually(look)


async def test_a_node_that_dies_keeps_its_calls_to_itself_and_the_other_takes_the_new_ones(
    tmp_path: Path,
) -> None:
    async with on_two_nodes(tmp_path) as (rig, first):
        await rig.start()
        await both_up(rig)
        contacts = [await rig.request(NUMBER + "0") for _ in range(4)]
        await by_node(rig, "answered", "main")
        await first.stop()
        later = await rig.request(NUMBER + "0")
        assert await rig.conclusion(later) == "agreed"
        assert {row.node for row in await rig.attempts(later)} == {"other"}
        assert await rig.engine.check() is None
        # Until it died it may have had more answered calls than the first one that was seen.
        doomed = {row.contact_id for row in await by_node(rig, "answered", "main")}
        for contact in set(contacts) - doomed:
            assert await rig.conclusion(contact) == "agreed"
        await first.start()  # it answers, and knows nothing of them
        for contact in doomed:
            assert await rig.conclusion(contact) == "unknown"
    assert set((rig.tap.asked + rig.other_tap.asked).values()) == {1}


async def test_calls_on_a_node_that_stays_away_are_unknown_in_the_end(tmp_path: Path) -> None:
    async with on_two_nodes(tmp_path, speed=2) as (rig, first):
        await rig.start()
        await both_up(rig)
        for _ in range(2):
            await rig.request(NUMBER + "7")
        (doomed, *_) = await by_node(rig, "ringing", "main")
        await first.stop()
        rig.clock.shift += timedelta(seconds=rig.settings.ring_time + AWAY_SECONDS - 5)
        await rig.engine.sweep.check_overdue()
        assert (await rig.attempts(doomed.contact_id))[0].state != "ended"
        rig.clock.shift += timedelta(seconds=10)
        await rig.engine.sweep.check_overdue()
        assert await rig.conclusion(doomed.contact_id) == "unknown"


@pytest.fixture
def short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes beat, and are taken for dead, faster than in life."""
    monkeypatch.setattr(instances, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(instances, "DEAD_SECONDS", 0.5)


async def until_taken_over(other: Rig) -> None:
    async def look() -> int:
        await other.engine.sweep.take_over()
        return len(other.engine.lines)

    await eventually(look)


@pytest.mark.usefixtures("short_lives")
@pytest.mark.parametrize("digit", ["0", "5"])
async def test_calls_of_a_process_that_dies_are_followed_to_their_end_by_another_one(
    rig: Rig, digit: str
) -> None:
    async with rig.sibling("2") as other:
        await rig.start()
        contact = await rig.request(NUMBER + digit)
        await rig.reached(contact, "dialing")
        await other.start()
        await rig.crash()
        await until_taken_over(other)
        assert await rig.conclusion(contact) == {"0": "agreed", "5": "disputed"}[digit]
    assert set(rig.tap.asked.values()) == {1}
    (attempt,) = await rig.attempts(contact)
    assert attempt.claimed_by == "2"


async def test_calls_of_a_process_that_is_stopped_are_taken_over_without_waiting(rig: Rig) -> None:
    async with rig.sibling("2") as other:
        await rig.start()
        contact = await rig.request(NUMBER + "0")
        await rig.reached(contact, "dialing")
        await other.start()
        await rig.stop()
        await until_taken_over(other)
        assert await rig.conclusion(contact) == "agreed"


@pytest.mark.usefixtures("short_lives")
async def test_a_call_that_ended_with_its_process_is_found_out_at_its_node(tmp_path: Path) -> None:
    async with on_two_nodes(tmp_path, speed=200) as (rig, _), rig.sibling("2") as other:
        await rig.start()
        await both_up(rig)
        contacts = [await rig.request(NUMBER + "5") for _ in range(6)]
        await rig.witness.saw(Ended)  # on the second node
        await rig.crash()
        await other.start()
        await both_up(other)

        async def look() -> bool:
            await other.engine.sweep.take_over()
            return all(row.state == "ended" for row in await all_attempts(rig))

        await eventually(look)
        assert [await rig.conclusion(contact) for contact in contacts] == ["disputed"] * 6
    assert set((rig.tap.asked + rig.other_tap.asked).values()) == {1}


async def test_a_process_that_cannot_show_that_it_lives_claims_and_places_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "HELD_SECONDS", -1.0)
    await rig.start()
    contact = await rig.request(NUMBER + "0")

    async def look() -> int:
        return rig.engine.switchboard.free

    await eventually(look)
    assert (await rig.attempts(contact))[0].state == "queued"
    monkeypatch.setattr(instances, "HELD_SECONDS", 5.0)
    await rig.engine.instances.beat()
    assert await rig.conclusion(contact) == "agreed"


async def test_a_call_that_was_claimed_too_long_ago_is_put_back_and_not_placed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "CLAIM_SECONDS", -1.0)
    await rig.start()
    contact = await rig.request(NUMBER + "0")

    async def look() -> bool:
        return (await rig.attempts(contact))[0].version >= 3  # claimed, and put back

    await eventually(look)
    assert not rig.tap.asked
    monkeypatch.setattr(instances, "CLAIM_SECONDS", 4.0)
    assert await rig.conclusion(contact) == "agreed"


async def test_the_younger_of_two_processes_with_one_name_places_the_calls(rig: Rig) -> None:
    await rig.start()
    await rig.conclusion(await rig.request(NUMBER + "0"))
    async with rig.sibling(rig.settings.instance) as younger:
        await younger.start()
        await younger.conclusion(await younger.request(NUMBER + "0"))
        await rig.engine.instances.beat()
        assert "MOVECAR_INSTANCE" in str(await rig.engine.check())
        assert await younger.engine.check() is None
