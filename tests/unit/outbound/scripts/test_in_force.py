"""The script in force and the calls: what is committed with the claim is what the owner hears (B3)."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.common.events import AttemptChanged
from services.outbound.calls import Ringing
from services.outbound.pbx import Call, Pbx
from services.outbound.scripts.models import CallScript
from tests.unit.outbound.rig import NUMBER, Rig


async def approve(rig: Rig, version: int, effective_at: datetime, caller_id: str = "0519110") -> None:
    """Put an approved script on file, as the API does."""
    async with rig.database.transaction() as session:
        session.add(
            CallScript(
                id=f"{version:032x}",
                version=version,
                state="approved",
                caller_id=caller_id,
                greeting="您好，{plate}车主",
                notice_number="1号",
                notice_date=None,
                effective_from=effective_at,
                effective_at=effective_at,
                drafted_by="adm1",
                drafted_at=rig.clock.now(),
                approved_by="adm2",
                approved_at=rig.clock.now(),
            )
        )


async def test_without_any_notice_the_contracts_own_script_is_in_force_and_on_file(rig: Rig) -> None:
    script = await rig.engine.scripts.current(rig.clock.now())
    assert (script.version, script.caller_id) == (1, "0519110")
    assert script.greeting == "您好，这是公安110挪车服务专线，您是{plate}车主吗？"
    async with rig.sibling("2") as other:  # the second process finds it and files nothing more
        assert await other.engine.scripts.current(rig.clock.now()) == script


async def test_a_new_script_is_used_from_its_time_on_and_a_running_call_keeps_its_own(rig: Rig) -> None:
    placed: list[Call] = []

    class Seen(Pbx):
        async def originate(self, call: Call) -> None:
            placed.append(call)
            await super().originate(call)

    await rig.start(Seen)
    running = await rig.request(NUMBER + "7")  # rings until it is given up
    await rig.witness.saw(Ringing)
    await approve(rig, 2, rig.clock.now() + timedelta(hours=1))
    await rig.engine.scripts.load()
    before = await rig.request(NUMBER + "0")
    await rig.conclusion(before)
    rig.clock.shift += timedelta(hours=1)
    after = await rig.request(NUMBER + "0")
    await rig.conclusion(after)
    assert [call.script for call in placed[:2]] == [1, 1]
    assert placed[-1].script == 2
    versions = {
        contact: (await rig.attempts(contact))[0].script_version for contact in (running, before, after)
    }
    assert versions == {running: 1, before: 1, after: 2}
    told = [event for event in await rig.events(AttemptChanged, after) if event.state == "dialing"]
    assert [event.script_version for event in told] == [2]


async def test_what_waits_in_the_queue_takes_the_script_of_the_moment_it_is_dialled(rig: Rig) -> None:
    contact = await rig.request(NUMBER + "0")
    await approve(rig, 2, rig.clock.now())
    (call,) = await rig.claim(10)
    assert call.record.script_version == call.script.version == 2
    (attempt,) = await rig.attempts(contact)
    assert attempt.script_version == 2


async def test_another_process_learns_of_a_script_within_seconds(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "0")
    await rig.conclusion(contact)
    await approve(rig, 2, rig.clock.now())
    rig.engine.scripts.wake()  # as its next look does, five seconds later at most
    async with rig.sibling("2") as other:
        await other.start()
        later = await other.request(NUMBER + "0")
        await rig.conclusion(later)  # whichever of the two dials it
    assert (await rig.attempts(later))[0].script_version == 2


# what somebody with a database prompt would try
EDITS = [
    "UPDATE outbound_call_script_history SET by = 'nobody'",
    "DELETE FROM outbound_call_script_history",
    "UPDATE outbound_call_scripts SET greeting = '您好，{plate}'",
    "UPDATE outbound_call_scripts SET caller_id = '110'",
    "UPDATE outbound_call_scripts SET notice_number = 'x'",
    "UPDATE outbound_call_scripts SET approved_by = 'x'",
    "UPDATE outbound_call_scripts SET state = 'draft'",
    "UPDATE outbound_call_scripts SET effective_at = NULL, state = 'withdrawn'",
    "DELETE FROM outbound_call_scripts",
]


@pytest.mark.parametrize("edit", EDITS)
async def test_the_database_itself_refuses_to_rewrite_what_was_filed(rig: Rig, edit: str) -> None:
    await rig.engine.scripts.current(rig.clock.now())
    with pytest.raises(DBAPIError, match="never edited"):
        async with rig.database.transaction() as session:
            await session.execute(text(edit.replace(" by ", ' "by" ')))
