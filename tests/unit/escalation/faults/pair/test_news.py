"""What one machine takes over from the other: incidents of which each heard one half, notices given twice."""

import pytest
from prometheus_client import REGISTRY

from services.common.clock import ManualClock
from services.escalation.faults.incidents import Incidents
from services.escalation.faults.records import Fault, Finding
from tests.unit.escalation.faults.pair.machines import BAD, Machine, Two

KIND = "call_without_attempt"


class Known:
    """The journal of a machine, as far as incidents ask for it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def finding(self, incident_id: str) -> Finding | None:
        found = self._machine.disk.kept.get((Finding, incident_id))
        return found if isinstance(found, Finding) else None


@pytest.fixture
async def two() -> Two:
    found = Two()
    await found.start()
    return found


def incidents(machine: Machine, clock: ManualClock) -> Incidents:
    return Incidents(machine.engine, Known(machine), clock)


def states(machine: Machine) -> list[str]:
    return [one.state for one in machine.disk.kept.values() if isinstance(one, Fault)]


def twice() -> float:
    return REGISTRY.get_sample_value("movecar_notices_twice_total", {"channel": "push"}) or 0.0


@pytest.mark.parametrize("closed_first", [False, True])
async def test_an_incident_whose_halves_two_machines_heard_of_is_over_once_they_have_talked(
    two: Two, *, closed_first: bool
) -> None:
    async def opened() -> None:
        await incidents(two.active, two.clock).opened("one", KIND, "call-1", two.clock.now())

    async def closed() -> None:
        await incidents(two.standby, two.clock).closed("one", two.clock.now())

    for happen in (closed, opened) if closed_first else (opened, closed):
        await happen()
    assert states(two.active) == ["open"]
    await two.talk()
    await two.talk()
    assert states(two.active) == states(two.standby) == ["recovered"]


async def test_the_fault_stays_open_while_another_incident_of_its_kind_is(two: Two) -> None:
    for name in ("one", "two"):
        await incidents(two.active, two.clock).opened(name, KIND, name, two.clock.now())
    await incidents(two.standby, two.clock).closed("one", two.clock.now())
    await two.talk()
    await two.talk()
    assert states(two.active) == states(two.standby) == ["open"]


async def test_a_notice_that_both_gave_is_counted_by_each_machine_once(two: Two) -> None:
    before = twice()
    await two.pass_(30, BAD, talking=False)
    assert await two.active.give() == await two.standby.give() == ["fault"]
    for _ in range(3):  # told again and again it stays one
        await two.talk()
    assert twice() - before == len((two.active, two.standby))
