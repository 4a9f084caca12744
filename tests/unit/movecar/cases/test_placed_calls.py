"""Calls that were placed for a case that does not exist are disowned (B4)."""

import asyncio
from datetime import timedelta
from pathlib import Path

from services.common.bus import emit
from services.common.events import CallsDisowned, CallsPlaced, PlacedCall
from services.common.ids import new_id
from services.movecar.app import build
from tests.support.cases import new_case
from tests.support.running import Client, serving, settings_for
from tests.unit.outbound.rig import Told


async def test_only_calls_of_cases_that_were_open_before_them_are_owned(tmp_path: Path) -> None:
    async with serving(settings_for(tmp_path), [build]) as process:
        kernel = process.kernel
        async with Client(process.address) as client:
            status, case = await client.become(process, "operator").post("/cases", new_case("苏D10001"))
            assert status == 201
        now = kernel.clock.now()
        owned = PlacedCall(attempt_id=new_id(), case_id=case["id"], dialed_at=now)
        strange = PlacedCall(attempt_id=new_id(), case_id=new_id(), dialed_at=now)
        early = PlacedCall(attempt_id=new_id(), case_id=case["id"], dialed_at=now - timedelta(hours=1))
        told = Told(kernel.database)
        async with kernel.database.transaction() as session:
            await emit(session, CallsPlaced(occurred_at=now, calls=(owned, strange, early)))
        async with asyncio.timeout(60):
            (disowned,) = await told.until(CallsDisowned, bool)
    assert disowned.calls == (strange, early)
