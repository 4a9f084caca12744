"""From the request to the conclusion, on the sandbox PBX."""

import pytest

from services.common.events import AttemptChanged
from tests.unit.outbound.rig import NUMBER, Rig

FATES = [
    # last digit, how the contact ends, how its attempts ended
    ("0", "agreed", ["agreed"]),
    ("1", "agreed", ["agreed"]),
    ("2", "agreed", ["agreed"]),
    ("3", "agreed", ["agreed"]),
    ("4", "agreed", ["agreed"]),
    ("5", "disputed", ["disputed"]),
    # busy twice more after waits, then there is no other number
    ("6", "exhausted", ["busy", "busy", "busy"]),
    # rung out: one more try
    ("7", "exhausted", ["no_answer", "no_answer"]),
    # declining is not redialled
    ("8", "exhausted", ["declined"]),
    # hangs up at once: one more try
    ("9", "exhausted", ["hung_up", "hung_up"]),
]


@pytest.mark.parametrize(("digit", "outcome", "attempts"), FATES)
async def test_every_owner_of_the_sandbox_leads_to_its_conclusion(
    rig: Rig, digit: str, outcome: str, attempts: list[str]
) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + digit)

    assert await rig.conclusion(contact) == outcome

    await rig.until(
        AttemptChanged,
        lambda events: sum(event.state == "ended" for event in events) == len(attempts),
    )
    rows = await rig.attempts(contact)
    assert [row.outcome for row in rows] == attempts
    assert [row.number for row in rows] == list(range(1, len(attempts) + 1))
    assert rig.tap.dialled == [NUMBER + digit] * len(attempts)
    assert set(rig.tap.asked.values()) == {1}
