"""What the recovery notice says was lost: counted where it can be, and said to be unknown where not."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.stack.ports import LOOPBACK, free_port
from services.common.clock import ManualClock
from services.common.database import Database
from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.engine import Engine
from services.escalation.faults.journal import Journal
from services.escalation.faults.losses import FiguresT, Losses
from services.escalation.faults.people import People
from services.escalation.faults.records import Fault
from services.escalation.faults.tallies import Neighbour
from services.escalation.faults.toll import NOTHING_KNOWN
from services.escalation.models import DeskCall, Escalation
from tests.support.tables import create_tables

BEGAN = datetime(2026, 4, 1, 8, tzinfo=UTC)
FAULT = Fault(
    id="f",
    component="movecar",
    reason="",
    began_at=BEGAN,
    detected_at=BEGAN,
    source="probe",
    audiences="desk",
    recovered_at=BEGAN + timedelta(minutes=5),
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'main.sqlite3'}")
    await create_tables(database)
    yield database
    await database.close()


async def nobody(_: Neighbour, __: datetime, ___: datetime, ____: type[FiguresT]) -> FiguresT:
    """Neither neighbour can be asked."""
    raise ConnectionRefusedError


def escalation(seq: int, asked: float, waited: float) -> Escalation:
    at = BEGAN + timedelta(seconds=asked)
    return Escalation(
        id=f"e{seq}",
        case_id="c",
        reason="disputed",
        status="raised",
        details_sealed="",
        seq=seq,
        escalated_at=at,
        raised_at=at + timedelta(seconds=waited),
    )


def call(name: str, queued: float, outcome: str) -> DeskCall:
    at = BEGAN + timedelta(seconds=queued)
    return DeskCall(
        id=name, escalation_id="e1", rank=0, say_sealed="", state="ended", outcome=outcome, queued_at=at
    )


async def test_escalations_and_calls_to_the_desk_within_the_fault_are_counted(database: Database) -> None:
    async with database.transaction() as session:
        session.add_all(
            [
                escalation(1, -1, 60),  # before
                escalation(2, 0, 10),  # within, and in time
                escalation(3, 299, 11),  # within, and late
                escalation(4, 301, 60),  # afterwards
                call("1", 10, "unknown"),
                call("2", 20, "acknowledged"),
                call("3", 400, "unknown"),
            ]
        )
    assert await Losses(database, nobody, seconds=60)(FAULT) == (
        "故障期间：受理情况不明；呼叫车主情况不明；移交110案件2件，其中迟到1件，接警台电话结果不明1次。"
        "未能打进或未能登记的求助无法统计。"
    )


async def test_without_the_database_the_notice_says_that_nothing_can_be_known() -> None:
    away = Database(f"postgresql+asyncpg://nobody@{LOOPBACK}:{free_port()}/movecar")
    assert await Losses(away, nobody)(FAULT) == NOTHING_KNOWN
    await away.close()


async def test_what_is_no_downtime_costs_nobody_anything(database: Database) -> None:
    assert await Losses(database, nobody, seconds=60)(replace(FAULT, downtime=False)) == ""


async def test_every_way_a_downtime_ends_says_what_it_cost(database: Database, tmp_path: Path) -> None:
    clock = ManualClock()
    journal = Journal(tmp_path / "journal.sqlite3", clock)

    def watcher() -> Engine:
        return Engine(
            journal,
            clock,
            {"desk": ["push"]},
            timedelta(seconds=15),
            losses=Losses(database, nobody, seconds=60),
        )

    before = watcher()
    await before.start()
    # a person's
    people = People(before, journal, clock)
    opened, _ = await people.open("movecar", "停电", by="s1")
    await clock.advance(1)
    await people.recover(opened.id)
    # a probe's
    await before.observe({"database": Reading("good")})
    await clock.advance(20)
    await before.observe({"database": Reading("bad")})
    for _ in range(2):
        await clock.advance(6)
        await before.observe({"database": Reading("good")})
    # our own absence
    await clock.advance(60)
    await watcher().start()
    ended = {fault.component: fault.lost for fault in await journal.faults(10)}
    await journal.close()
    assert ended.keys() == {"movecar", "database", "escalation"}
    assert all("移交110案件0件，其中迟到0件" in lost for lost in ended.values())
