"""Long polls and streams: woken at once, resumed where they were, ended with their session."""

import asyncio
import json
import time
from datetime import timedelta

from sqlalchemy import select

from services.common.events import SessionEnded
from services.common.models import EndedSession
from services.escalation.documents import EscalationData, FeedItemDocument
from tests.unit.escalation.harness import Desk, serving, settings_for, until


async def test_a_long_poll_answers_as_soon_as_an_item_is_committed(desk: Desk) -> None:
    poll = asyncio.create_task(desk.feed(wait=30))
    await desk.readers("feed_poll", 1)
    started = time.monotonic()
    await desk.escalate()
    page = await poll
    assert [item["seq"] for item in page["items"]] == [1]
    assert time.monotonic() - started < 5


async def test_a_long_poll_without_news_ends_empty_with_its_own_cursor(desk: Desk) -> None:
    await desk.escalate()
    await desk.item(1)
    assert await desk.feed(after=1, wait=0.05) == {"items": [], "next": 1}


async def test_a_stream_gives_what_was_and_what_comes(desk: Desk) -> None:
    first = await desk.escalate()
    await desk.item(1)
    async with asyncio.timeout(60), desk.stream() as events:
        event = await anext(events)
        assert (event["id"], event["event"]) == ("1", "escalation.raised")
        assert json.loads(event["data"])["data"]["escalation_id"] == first
        await desk.call("POST", f"/escalations/{first}/ack")
        event = await anext(events)
        assert (event["id"], event["event"]) == ("2", "escalation.acknowledged")
        data = FeedItemDocument.model_validate_json(event["data"]).data
        assert isinstance(data, EscalationData)
        assert data.status == "acknowledged"


async def test_a_stream_and_a_poll_give_the_same_bytes(desk: Desk) -> None:
    await desk.escalate()
    async with asyncio.timeout(60), desk.stream() as events:
        event = await anext(events)
    headers = desk.headers()
    async with desk.http.get("/api/v1/feed", headers=headers) as response:
        assert await response.text() == '{"items":[' + event["data"] + '],"next":1}'


async def test_a_stream_resumes_after_the_last_event_seen(desk: Desk) -> None:
    for _ in range(4):
        await desk.escalate()
    await desk.item(4)
    async with asyncio.timeout(60):
        async with desk.stream(last_id="2") as events:
            assert [(await anext(events))["id"] for _ in range(2)] == ["3", "4"]
        async with desk.stream("?after=3") as events:
            assert (await anext(events))["id"] == "4"
        # a browser reconnects to the address it first used, with the header
        async with desk.stream("?after=0", last_id="3") as events:
            assert (await anext(events))["id"] == "4"


async def test_who_logs_out_gets_nothing_more(desk: Desk) -> None:
    token = desk.token(session_id="s-out")
    now = desk.kernel.clock.now()
    ended = SessionEnded(occurred_at=now, session_id="s-out", expires_at=now + timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(60), desk.stream(token=token) as events:
        await desk.escalate()
        assert (await anext(events))["id"] == "1"
        poll = asyncio.create_task(desk.http.get("/api/v1/feed?after=1&wait=30", headers=headers))
        await desk.emit(ended)
        await desk.refuses(token)
        await desk.escalate()
        assert [event async for event in events] == []
        async with await poll as response:
            assert response.status == 401
    assert (await desk.feed())["next"] == 2


async def test_a_log_out_outlives_a_restart(sqlite_url: str) -> None:
    async with serving(settings_for(sqlite_url)) as desk:
        token = desk.token(session_id="s-out")
        headers = {"Authorization": f"Bearer {token}"}
        now = desk.kernel.clock.now()
        await desk.emit(
            SessionEnded(occurred_at=now, session_id="s-out", expires_at=now + timedelta(hours=1))
        )

        async def stored() -> bool:
            async with desk.kernel.database.reading() as session:
                return await session.scalar(select(EndedSession.session_id)) == "s-out"

        await until(stored)
    async with (
        serving(settings_for(sqlite_url)) as desk,
        desk.http.get("/api/v1/escalations", headers=headers) as response,
    ):
        assert response.status == 401


async def test_readers_are_let_go_when_the_service_stops(sqlite_url: str) -> None:
    async with serving(settings_for(sqlite_url)) as desk:
        headers = desk.headers()
        async with desk.stream() as events:
            poll = asyncio.create_task(desk.http.get("/api/v1/feed?wait=50", headers=headers))
            await desk.escalate()
            assert (await anext(events))["id"] == "1"
            async with await poll as response:
                assert response.status == 200
            poll = asyncio.create_task(desk.http.get("/api/v1/feed?after=1&wait=50", headers=headers))
            await desk.readers("feed_poll", 1)
            started = time.monotonic()
            await desk.process.close()
            assert [event async for event in events] == []
            async with await poll as response:
                assert await response.json() == {"items": [], "next": 1}
            assert time.monotonic() - started < 1.9  # the server would cut them off after two seconds
