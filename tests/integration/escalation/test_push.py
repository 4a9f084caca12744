"""Push to a real server that fails, hangs, redirects, dies and comes back."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import select, update
from structlog.testing import capture_logs

from services.common.service import Kernel
from services.escalation.desk_http import DeskHttp
from services.escalation.escalations import Escalations
from services.escalation.feed import Feed
from services.escalation.models import FeedItem, PushDelivery
from services.escalation.push import Pusher
from tests.integration.escalation.receiver import SECRET, Received, Receiver
from tests.support.tables import create_tables
from tests.unit.escalation.harness import (
    DETAILS,
    Desk,
    escalated,
    serving,
    settings_for,
    until,
)


async def _handle(desk: Desk, escalation_id: str) -> None:
    for action, body in (("ack", {}), ("disposition", {"code": "moved"})):
        status, _ = await desk.call("POST", f"/escalations/{escalation_id}/{action}", body)
        assert status == 200


async def _handled(desk: Desk, count: int, *, before: int = 0) -> list[str]:
    """Raise, acknowledge and dispose so many escalations; three items each. `before` were raised earlier."""
    ids = [await desk.escalate() for _ in range(count)]
    await desk.item(before + count)
    await asyncio.gather(*(_handle(desk, escalation_id) for escalation_id in ids))
    return ids


async def _rows(desk: "Desk | Instance") -> list[PushDelivery]:
    async with desk.kernel.database.reading() as session:
        return list(await session.scalars(select(PushDelivery).order_by(PushDelivery.seq)))


def _assert_whole(receiver: Receiver, ids: list[str]) -> None:
    """Every item of every escalation was taken, in its escalation's order; repeats had the same bytes."""
    for escalation_id in ids:
        order = list(dict.fromkeys(receiver.order_of(escalation_id)))
        assert len(order) == 3
        assert order == sorted(order)
    bodies: dict[int, set[bytes]] = defaultdict(set)
    for received in receiver.requests:
        bodies[received.seq].add(received.body)
    assert all(len(different) == 1 for different in bodies.values())


def _assert_claimed(receiver: Receiver, rows: list[PushDelivery]) -> None:
    """Nothing was sent that was not claimed first: the service keeps count of what the desk received."""
    sent = Counter(received.seq for received in receiver.requests)
    assert {row.seq: row.tries for row in rows} == dict(sent)


async def test_every_item_is_pushed_once_in_order_and_its_proof_is_kept(
    database_url: str, receiver: Receiver
) -> None:
    async with serving(settings_for(database_url, **receiver.settings)) as desk:
        ids = await _handled(desk, 20)
        await receiver.until_taken(60)
        _assert_whole(receiver, ids)
        assert receiver.most_at_once <= 8

        async def proven() -> bool:
            return all(row.delivered_at and row.status == 204 for row in await _rows(desk))

        await until(proven)
        _assert_claimed(receiver, await _rows(desk))
        page = await desk.feed()
        assert receiver.taken[0].item in page["items"]


async def _misbehave(request: web.Request, received: Received, nth: int) -> web.StreamResponse:
    """Fail the first try of each item, each in another way."""
    if nth > 1:
        return web.Response(status=202)
    match received.seq % 6:
        case 0:
            return web.Response(status=500, text="x" * 1_000_000)
        case 1:
            raise web.HTTPTemporaryRedirect("/elsewhere")
        case 2:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=503)
        case 3:
            return web.Response(status=429, headers={"Retry-After": "1"})
        case 4:
            # a success in name, cut off before its headers are over
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Le")
            request.transport.close()
            return web.Response(status=503)
        case _:
            return web.Response(status=304)


async def test_what_fails_is_repeated_with_the_same_bytes_and_no_redirect_is_followed(
    database_url: str, receiver: Receiver
) -> None:
    receiver.behave = _misbehave
    async with serving(settings_for(database_url, **receiver.settings)) as desk:
        ids = await _handled(desk, 6)
        await receiver.until_taken(18)
        _assert_whole(receiver, ids)
        assert min(Counter(received.seq for received in receiver.requests).values()) == 2
        _assert_claimed(receiver, await _rows(desk))
        assert receiver.elsewhere == 0


async def test_one_refused_escalation_holds_back_its_own_items_only(
    sqlite_url: str, receiver: Receiver
) -> None:
    async def refuse_the_first(_: web.Request, received: Received, __: int) -> web.StreamResponse:
        return web.Response(status=422 if received.escalation == ids[0] else 200)

    ids: list[str] = []
    receiver.behave = refuse_the_first
    async with serving(settings_for(sqlite_url, **receiver.settings)) as desk:
        ids.append(await desk.escalate())
        ids += await _handled(desk, 5, before=1)
        await _handle(desk, ids[0])
        await receiver.until_taken(15)
        assert {received.seq for received in receiver.requests if received.escalation == ids[0]} == {1}
        await receiver.until(lambda: [r.seq for r in receiver.requests].count(1) >= 3)

        async def noted() -> bool:
            first = (await _rows(desk))[0]
            return first.last_error == "status 422" and first.tries >= 3 and first.delivered_at is None

        await until(noted)


async def test_a_damaged_item_keeps_its_place_and_delays_nobody(sqlite_url: str, receiver: Receiver) -> None:
    await receiver.stop()
    async with serving(settings_for(sqlite_url, **receiver.settings)) as desk:
        ids = [await desk.escalate() for _ in range(3)]
        await desk.item(3)
        async with desk.kernel.database.transaction() as session:
            await session.execute(update(FeedItem).where(FeedItem.seq == 2).values(data_sealed="v1.AAAA"))
    await receiver.start()
    async with serving(settings_for(sqlite_url, **receiver.settings)) as desk:
        page = await desk.feed()
        assert [item["seq"] for item in page["items"]] == [1, 2, 3]
        assert [item["data"] is None for item in page["items"]] == [False, True, False]
        await receiver.until_taken(2)
        assert {received.escalation for received in receiver.taken} == {ids[0], ids[2]}

        async def noted() -> bool:
            return (await _rows(desk))[1].last_error == "the item does not open with our key"

        await until(noted)


async def test_a_success_with_an_endless_answer_is_a_success(sqlite_url: str, receiver: Receiver) -> None:
    async def talk(request: web.Request, _: Received, __: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    receiver.behave = talk
    async with serving(settings_for(sqlite_url, **receiver.settings)) as desk:
        await desk.escalate()

        async def delivered() -> bool:
            return any(row.delivered_at for row in await _rows(desk))

        await until(delivered)
        assert len(receiver.requests) == 1


async def test_a_server_that_dies_is_noticed_and_gets_everything_when_it_is_back(
    sqlite_url: str, receiver: Receiver
) -> None:
    async with serving(settings_for(sqlite_url, **receiver.settings)) as desk:
        await desk.escalate()
        await receiver.until_taken(1)
        await receiver.stop()
        with capture_logs() as logs:
            ids = await _handled(desk, 10, before=1)
            await until(lambda: _shows(desk, "movecar_push_target_dead 1.0"))
            assert await _shows(desk, "movecar_push_failures_in_a_row ")
            (dead,) = [entry for entry in logs if entry["event"] == "push_target_dead"]
            assert (dead["log_level"], dead["host"]) == ("error", "127.0.0.1")
            await receiver.start()
            await receiver.until_taken(31)
            await until(lambda: _shows(desk, "movecar_push_target_dead 0.0"))
            await until(lambda: _shows(desk, "movecar_push_oldest_pending_seconds 0.0"))
        assert [entry["event"] for entry in logs].count("push_target_back") == 1
        _assert_whole(receiver, ids)


async def _shows(desk: Desk, line: str) -> bool:
    async with desk.http.get("/metrics") as response:
        return line in await response.text()


async def test_what_was_not_taken_is_pushed_after_a_restart(sqlite_url: str, receiver: Receiver) -> None:
    held = asyncio.Event()

    async def hang(_: web.Request, __: Received, ___: int) -> web.StreamResponse:
        await held.wait()
        return web.Response(status=503)

    receiver.behave = hang
    settings = settings_for(sqlite_url, **receiver.settings)
    async with serving(settings) as desk:
        ids = await _handled(desk, 3)
        await receiver.until(lambda: len(receiver.requests) == 3)
        # stopped in the middle of sending: the claims are still held
    held.set()

    async def accept(_: web.Request, __: Received, ___: int) -> web.StreamResponse:
        return web.Response()

    receiver.behave = accept
    async with serving(settings):
        await receiver.until_taken(9, seconds=15)  # well before the claims would have lapsed
    _assert_whole(receiver, ids)


class Instance:
    """One of several instances on one database: the rules and the pusher, without HTTP and bus."""

    def __init__(self, url: str, name: str, receiver: Receiver, timeout: float = 10.0) -> None:
        self.kernel = Kernel.build(settings_for(url, instance=name))
        self.feed = Feed(self.kernel.database, self.kernel.keys, pushing=True)
        self.rules = Escalations(self.feed, self.kernel.keys, self.kernel.clock, self.kernel.settings)
        desk = DeskHttp(receiver.url, SECRET, self.kernel.clock, timeout)
        self.pusher = Pusher(self.kernel.database, self.feed, desk, self.kernel.clock, name)
        self.feed.on_append(self.pusher.wake)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Instance":
        await create_tables(self.kernel.database)
        self._task = asyncio.create_task(self.pusher.run())
        return self

    async def __aexit__(self, *_: Any) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.kernel.database.close()

    async def live(self, escalation_id: str) -> None:
        """Take an escalation through its whole life."""
        async with self.kernel.database.transaction() as session:
            await self.rules.raise_for_cases(session, [escalated(self.kernel, escalation_id, DETAILS)])
        async with self.kernel.database.transaction() as session:
            await self.rules.acknowledge(session, escalation_id, "desk1", None)
        async with self.kernel.database.transaction() as session:
            await self.rules.dispose(session, escalation_id, "desk1", "moved", "")


async def test_two_instances_share_the_work_and_keep_the_order(postgres_url: str, receiver: Receiver) -> None:
    async with Instance(postgres_url, "a", receiver) as a, Instance(postgres_url, "b", receiver) as b:
        ids = [f"e-{number}" for number in range(30)]
        await asyncio.gather(
            *((a if n % 2 else b).live(escalation_id) for n, escalation_id in enumerate(ids))
        )
        await receiver.until_taken(90)
        _assert_claimed(receiver, await _rows(a))
    _assert_whole(receiver, ids)


@pytest.mark.parametrize("hanging", [1, 8])
async def test_a_hanging_request_is_given_up_and_repeated(
    sqlite_url: str, receiver: Receiver, hanging: int
) -> None:
    released = asyncio.Event()

    async def hang_at_first(_: web.Request, received: Received, nth: int) -> web.StreamResponse:
        if nth == 1 and received.seq <= hanging:
            await released.wait()
        return web.Response()

    receiver.behave = hang_at_first
    async with Instance(sqlite_url, "a", receiver, timeout=0.5) as instance:
        ids = [f"e-{number}" for number in range(10)]
        await asyncio.gather(*(instance.live(escalation_id) for escalation_id in ids))
        await receiver.until_taken(30)
    _assert_whole(receiver, ids)
    released.set()
