"""More than one of everything on real parts: trunks, Asterisk nodes and outbound processes that fail."""

import asyncio
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from deploy.asterisk.prompts import Voice
from deploy.stack.owners import full_network
from deploy.stack.stack import Stack, StackPlan
from services.common.database import Database
from services.outbound.models import Attempt, Contact
from services.outbound.trunks import OWNERS_IN_A_ROW
from tests.support.cases import new_case, until
from tests.support.running import PASSWORD, SECRET, Client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PLAYS = {"1": "agreed", "5": "disputed", "6": "busy", "7": "no_answer", "8": "declined"}
"""Last digit of an owner's number → outcome of the call."""
SETTLED = {"notified", "escalated", "attention"}
UP = {"dialing", "ringing", "answered"}
SECONDS = 90.0
"""How long anything may take on a busy machine."""
CARS = [(f"苏F{serial:04d}{digit}", f"1381{serial:06d}{digit}") for serial in range(60) for digit in PLAYS]
"""Plates, and a number of its own for each."""
NUMBERS = dict(CARS)


_unused = {digit: iter([plate for plate in NUMBERS if plate[-1] == digit]) for digit in PLAYS}


def cars(digits: str) -> list[str]:
    """Return plates that no test has used, whose owners' numbers end on these digits."""
    return [next(_unused[digit]) for digit in digits]


def write_registry(directory: Path) -> Path:
    """Write the registry that knows them all."""
    directory.chmod(0o755)  # the servers' accounts must reach their own directories below it
    registry = directory / "registry.csv"
    rows = [f"{plate},blue,某某,{number}" for plate, number in CARS]
    registry.write_text("\n".join(["plate,color,owner,phones", *rows, ""]), "utf-8")
    return registry


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    """Two nodes, two trunks, of which the second refuses every call, and two processes that place calls."""
    with tempfile.TemporaryDirectory(prefix="movecar-") as home:  # short: sockets live in it
        directory = Path(home)
        registry = write_registry(directory)
        plan = StackPlan(
            directory=directory / "stack",
            nodes=("main", "other"),
            trunks=("carrier", "spare"),
            scenarios={"spare": full_network()},
            outbounds=2,
            press_after=2.5,
            key_wait=6,
            seats=(),
            voice=Voice("espeak-ng -v cmn -s 450 -w {wav} {text}"),
            durable=False,
            environment={
                "MOVECAR_DEMO_PASSWORD": PASSWORD,
                "MOVECAR_SECRET_KEY": SECRET,
                "MOVECAR_REGISTRY_CSV": str(registry),
                "MOVECAR_RING_TIME": "8",
                "MOVECAR_REDIAL": '{"busy":[],"no_answer":[],"congestion":[],"hung_up":[]}',
            },
        )
        async with Stack(plan) as stack:
            yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(stack: Stack) -> AsyncIterator[Client]:
    async with Client(stack.plan.listen) as client:
        yield await client.log_in("op1")


class Calls:
    """What the caller has written down, and what was on the wire."""

    def __init__(self, stack: Stack, database: Database) -> None:
        self._stack = stack
        self._database = database

    async def of(self, cases: Collection[str]) -> dict[str, list[Attempt]]:
        """Attempts of cases, in order: case → attempts."""
        found: dict[str, list[Attempt]] = defaultdict(list)
        async with self._database.reading() as session:
            rows = await session.execute(
                select(Contact.case_id, Attempt)
                .join(Contact, Contact.id == Attempt.contact_id)
                .where(Contact.case_id.in_(cases))
                .order_by(Attempt.number)
            )
            for case, attempt in rows:
                found[case].append(attempt)
        return found

    def rung(self) -> dict[str, Counter[str]]:
        """Trunk → how many INVITEs it was sent for each number."""
        return {
            name: Counter(invite.called for invite in owners.invites())
            for name, owners in self._stack.trunks.items()
        }

    async def assert_one_invite_each(self, cases: Mapping[str, str]) -> None:
        """Every attempt that was placed is one INVITE on its own trunk, and there is no other (B5)."""
        rung = self.rung()
        for case, attempts in (await self.of(cases.values())).items():
            (number,) = {NUMBERS[plate] for plate, known in cases.items() if known == case}
            placed = Counter(attempt.trunk for attempt in attempts if attempt.dialed_at is not None)
            assert {trunk: rung[trunk][number] for trunk in rung} == {trunk: placed[trunk] for trunk in rung}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(stack: Stack) -> AsyncIterator[Calls]:
    database = Database(stack.postgres.url(), pool_size=2)
    yield Calls(stack, database)
    await database.close()


async def opened(operator: Client, plates: Collection[str]) -> dict[str, str]:
    """Open a case for each; plate → case."""
    answers = await asyncio.gather(*(operator.post("/cases", new_case(plate)) for plate in plates))
    assert {status for status, _ in answers} == {201}
    return {plate: case["id"] for plate, (_, case) in zip(plates, answers, strict=True)}


async def settled(operator: Client, cases: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Plate → case, each where it came to rest."""
    found = await asyncio.gather(*(_settled(operator, case) for case in cases.values()))
    return dict(zip(cases, found, strict=True))


async def _settled(operator: Client, case_id: str) -> dict[str, Any]:
    # A case comes to rest on the keypress; the call's own end follows it.
    async with asyncio.timeout(SECONDS):
        while True:
            case = await until(operator, case_id, SETTLED, SECONDS)
            if all(attempt["state"] == "ended" for attempt in case["attempts"]):
                return case
            await asyncio.sleep(0.05)


async def eventually(holds: Callable[[], Awaitable[bool]], every: float = 0.1) -> None:
    """Wait for what nobody tells of."""
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(every)


async def ended(calls: Calls, cases: Mapping[str, str]) -> dict[str, list[Attempt]]:
    """Plate → attempts, once all have ended."""
    found: dict[str, list[Attempt]] = {}

    async def look() -> bool:
        rows = await calls.of(cases.values())
        found.update({plate: rows[case] for plate, case in cases.items()})
        return all(row and row[-1].state == "ended" for row in found.values())

    await eventually(look)
    return found


async def test_a_trunk_that_refuses_calls_costs_none_of_them_and_comes_back_when_it_works(
    stack: Stack, operator: Client, calls: Calls
) -> None:
    everything: dict[str, str] = {}
    for digits in ("15681568", "15681568156815681568"):
        cases = await opened(operator, cars(digits))
        everything |= cases
        await ended(calls, cases)
        for plate, case in (await settled(operator, cases)).items():
            assert case["attempts"][-1]["outcome"] == PLAYS[plate[-1]], plate
    await calls.assert_one_invite_each(everything)
    attempts = [row for rows in (await ended(calls, everything)).values() for row in rows]
    refused = [row for row in attempts if row.trunk == "spare"]
    assert {(row.outcome, row.sip_status, row.reason) for row in refused} == {("congestion", 503, "sip_503")}
    # Each of two processes finds out for itself, on each of two nodes.
    assert len(refused) <= 4 * (OWNERS_IN_A_ROW + 1)
    assert {row.contact_id for row in attempts if row.moved} == {row.contact_id for row in refused}
    assert {row.node for row in attempts} == {"main", "other"}

    await stack.take_down("owners-spare")
    stack.trunks["spare"].scenario = stack.trunks["carrier"].scenario
    await stack.bring_up("owners-spare")
    again: dict[str, str] = {}

    async def carried() -> bool:
        again.update(await opened(operator, cars("1")))
        rows = [row for rows in (await calls.of(again.values())).values() for row in rows]
        return bool(rows) and any(row.trunk == "spare" and row.answered_at for row in rows)

    await eventually(carried, every=1.0)
    assert {row.outcome for rows in (await ended(calls, again)).values() for row in rows} == {"agreed"}
    assert {case["status"] for case in (await settled(operator, again)).values()} == {"notified"}
    await calls.assert_one_invite_each(again)


async def test_a_node_that_is_killed_with_calls_up_is_not_waited_for_and_nobody_is_rung_again(
    stack: Stack, operator: Client, calls: Calls
) -> None:
    cases = await opened(operator, cars("117711771177"))
    doomed: dict[str, Attempt] = {}

    async def up() -> bool:
        rows = await calls.of(cases.values())
        there = {case: row[-1] for case, row in rows.items() if row[-1].node == "other"}
        doomed.clear()
        doomed.update({case: row for case, row in there.items() if row.state in UP})
        return len(doomed) > 1 and "answered" in {row.state for row in doomed.values()}

    await eventually(up)
    await stack.take_down("asterisk-other")
    later = await opened(operator, cars("15151"))
    fresh = await ended(calls, later)
    for plate, case in (await settled(operator, later)).items():
        assert [attempt["outcome"] for attempt in case["attempts"]] == [PLAYS[plate[-1]]]
    assert {row.node for (row,) in fresh.values()} == {"main"}
    waits = [(row.dialed_at - row.queued_at).total_seconds() for (row,) in fresh.values() if row.dialed_at]
    assert max(waits) < 5
    # Until their node answers, nothing is said of its calls.
    assert "ended" not in {rows[-1].state for rows in (await calls.of(doomed)).values()}

    await stack.bring_up("asterisk-other")
    found = await ended(calls, cases)
    outcomes = {plate: [row.outcome for row in rows] for plate, rows in found.items()}
    for plate, case in (await settled(operator, cases)).items():
        if case["id"] in doomed:
            assert outcomes[plate] in (["unknown"], [PLAYS[plate[-1]]])
            if outcomes[plate] == ["unknown"]:
                assert (case["status"], case["attention_reason"]) == ("attention", "call_unknown")
        else:
            assert outcomes[plate] == [PLAYS[plate[-1]]]
    await calls.assert_one_invite_each(cases | later)


async def test_calls_of_a_process_that_is_killed_are_concluded_by_the_other_as_their_owners_wished(
    stack: Stack, operator: Client, calls: Calls
) -> None:
    cases = await opened(operator, cars("1155115511551155"))
    doomed: dict[str, Attempt] = {}

    async def up() -> bool:
        rows = await calls.of(cases.values())
        doomed.update({case: row[-1] for case, row in rows.items() if row[-1].state in UP})
        states = {(row.node, row.state) for row in doomed.values()}
        return {("main", "answered"), ("other", "answered")} <= states

    await eventually(up)
    # Who reads the bus when the cases are opened places the calls, while it has lines for them.
    ((victim, _),) = Counter(row.claimed_by for row in doomed.values()).most_common(1)
    await stack.take_down("outbound" if victim == "1" else f"outbound-{victim}")
    found = await ended(calls, cases)
    for plate, (row,) in found.items():
        assert row.outcome == PLAYS[plate[-1]], plate
        assert row.claimed_by != victim
    for case in (await settled(operator, cases)).values():
        assert case["status"] in {"notified", "escalated"}
    await calls.assert_one_invite_each(cases)
