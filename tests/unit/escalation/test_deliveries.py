"""The desk's system can be sent items again, and everybody sees whether it takes them (C2)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner

from services.__main__ import app
from services.common.migrations import upgrade
from services.common.service import Kernel
from services.escalation.deliveries import push_state, send_again
from services.escalation.documents import EscalationData
from services.escalation.feed import Feed, NewItem
from services.escalation.models import PushDelivery
from tests.support.running import SECRET, settings_for


async def kernel_with_items(directory: Path, taken: int, waiting: int) -> Kernel:
    kernel = Kernel.build(settings_for(directory))
    await upgrade(kernel.database)
    feed = Feed(kernel.database, kernel.keys, pushing=True)
    now = kernel.clock.now()
    for number in range(taken + waiting):
        data = EscalationData(
            escalation_id=f"e{number}",
            case_id="c",
            reason="dispute",
            priority="normal",
            status="raised",
            escalated_at=now,
            raised_at=now,
        )
        async with kernel.database.transaction() as session:
            await feed.append(session, now, NewItem("escalation.raised", f"e{number}", data))
    async with kernel.database.transaction() as session:
        await session.execute(
            update(PushDelivery)
            .where(PushDelivery.seq <= taken)
            .values(delivered_at=kernel.clock.now(), status=204, tries=3)
        )
    return kernel


async def close(kernel: Kernel) -> None:
    await kernel.bus.close()
    await kernel.database.close()


async def test_items_are_sent_again_and_their_first_delivery_stays_on_record(tmp_path: Path) -> None:
    kernel = await kernel_with_items(tmp_path, taken=3, waiting=1)
    now = kernel.clock.now() + timedelta(minutes=1)
    async with kernel.database.transaction() as session:
        assert await send_again(session, 2, 9, now) == 2
    async with kernel.database.reading() as session:
        rows = (await session.scalars(select(PushDelivery).order_by(PushDelivery.seq))).all()
        state = await push_state(session, configured=True, away=False)
    assert [row.delivered_at is None for row in rows] == [False, True, True, True]
    assert [row.replays for row in rows] == [0, 1, 1, 0]
    assert rows[1].first_delivered_at is not None
    assert state.pending == 3
    await close(kernel)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["push", "status"], 1, "1 条事件未被接收"),
        (["push", "replay", "1", "2"], 0, "2 条"),
        (["push", "replay", "7"], 1, "没有已推送的事件"),
        (["push", "replay", "2", "1"], 2, "不能小于"),  # the wrong way round
        (["push", "replay", "0"], 2, ""),  # there is no such number
    ],
)
async def test_operations_see_and_repeat_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, says: str
) -> None:
    await close(await kernel_with_items(tmp_path, taken=2, waiting=1))
    monkeypatch.setenv("MOVECAR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MOVECAR_SECRET_KEY", SECRET)
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert (result.exit_code, says in result.output) == (status, True)
