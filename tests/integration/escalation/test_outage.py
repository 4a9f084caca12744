"""The database dies under the desk's readers and comes back: nothing is lost, nobody has to be restarted."""

import asyncio
from pathlib import Path

from deploy.stack.postgres import Postgres
from tests.integration.escalation.receiver import Receiver
from tests.unit.escalation.harness import serving, settings_for


async def test_readers_and_push_go_on_after_the_database_was_killed(
    tmp_path: Path, receiver: Receiver
) -> None:
    server = Postgres(tmp_path / "pg", durable=False)
    server.start()
    try:
        server.ensure_database()
        async with (
            serving(settings_for(server.url(), **receiver.settings)) as desk,
            desk.stream() as events,
        ):
            first = await desk.escalate()
            async with asyncio.timeout(60):
                assert (await anext(events))["id"] == "1"
            poll = asyncio.create_task(desk.feed(after=1, wait=50))
            await desk.readers("feed_poll", 1)
            await asyncio.to_thread(server.kill)
            status, problem = await desk.call("GET", "/feed?after=1&wait=30")
            assert (status, problem["code"]) == (503, "temporarily_unavailable")
            status, problem = await desk.call("POST", f"/escalations/{first}/ack")
            assert (status, problem["code"]) == (503, "temporarily_unavailable")
            await asyncio.to_thread(server.start)
            second = await desk.escalate()
            async with asyncio.timeout(60):
                assert (await anext(events))["id"] == "2"
            assert (await poll)["items"][0]["data"]["escalation_id"] == second
            status, _ = await desk.call("POST", f"/escalations/{first}/ack")
            assert status == 200
            await receiver.until_taken(3)
            # killed before the first delivery was noted, it is sent again: a duplicate beats silence
            assert list(dict.fromkeys(receiver.order_of(first))) == [1, 3]
    finally:
        server.stop()
