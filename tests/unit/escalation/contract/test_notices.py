"""C4: what the desk was owed, what a drill proved, and what is said of both."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.ports import LOOPBACK, free_port
from services.common.clock import ManualClock
from services.common.database import Database
from services.common.evidence import Evidence, Status, judged
from services.escalation.contract.notices import (
    Drill,
    DrillResult,
    NoticeEvidence,
    Notices,
    counted,
    judge,
    result_of,
)
from services.escalation.faults.duties import PROMISE
from services.escalation.faults.journal import Journal
from services.escalation.faults.merge import Merger
from services.escalation.faults.records import Duty, DutyKind, Fault
from tests.support.tables import create_tables

NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
QUARTER = timedelta(days=90)


def duty(
    name: str = "f", *, since: float = 3600, took: float | None = 5, kind: DutyKind = "fault", **more: Any
) -> Duty:
    """A notice owed `since` seconds ago that was given after `took` seconds; None: it was not given."""
    began = NOW - timedelta(seconds=since)
    base = Duty(f"{name}-{kind}-desk", name, kind, "desk", began, began + PROMISE)
    if took is not None:
        kept_at = began + timedelta(seconds=took)
        state: Any = "kept" if kept_at <= base.due_at else "kept_late"
        base = replace(base, state=state, kept_at=kept_at, kept_by="push")
    return replace(base, **more)


@pytest.mark.parametrize(
    ("duties", "expected"),
    [
        ([], Notices()),
        ([duty(took=5), duty(kind="recovery", took=8)], Notices(in_time=2, longest=timedelta(seconds=8))),
        # At the deadline itself it is in time; a second later it is late.
        ([duty(took=1800)], Notices(in_time=1, longest=timedelta(seconds=1800))),
        ([duty(took=1801)], Notices(late=1, longest=timedelta(seconds=1801))),
        # What waits counts to the longest too, by now.
        (
            [duty(since=60, took=None)],
            Notices(waiting=1, longest=timedelta(seconds=60), oldest=timedelta(seconds=60)),
        ),
        # Late from the deadline on, although nobody has noted that yet.
        (
            [duty(since=1801, took=None)],
            Notices(overdue=1, longest=timedelta(seconds=1801), oldest=timedelta(seconds=1801)),
        ),
        # Nobody is owed what is void.
        ([duty(took=None, state="void")], Notices()),
        # A clock put back makes no negative time.
        ([duty(took=-5)], Notices(in_time=1, longest=timedelta(0))),
    ],
)
def test_notices_are_counted_once_each(duties: list[Duty], expected: Notices) -> None:
    assert counted(duties, NOW) == expected


@pytest.mark.parametrize(
    ("duties", "expected"),
    [
        ([duty(), duty(kind="recovery")], "delivered"),
        ([duty(), duty(kind="recovery", since=60, took=None)], "pending"),
        # No duty is known yet: the drill has just begun.
        ([], "pending"),
        ([duty(took=1801)], "late"),
        ([duty(took=1801), duty(kind="recovery", took=None)], "failed"),
        # Alarms about a drill are not its notices.
        ([duty(), duty(kind="alarm_10", took=None)], "delivered"),
    ],
)
def test_a_drill_is_as_good_as_its_worst_notice(duties: list[Duty], expected: DrillResult) -> None:
    assert result_of(duties, NOW) == expected


def drill(days: float = 1, result: DrillResult = "delivered") -> Drill:
    return Drill(NOW - timedelta(days=days), "registry", real=False, result=result)


KEPT = Notices(in_time=2, longest=timedelta(seconds=8))


@pytest.mark.parametrize(
    ("notices", "last", "status", "said"),
    [
        # Nothing was owed and nothing rehearsed: nothing is known.
        (Notices(), None, "no_evidence", "没有应发的通知"),
        # A drill that goes on proves nothing yet; one that was delivered does, without any fault.
        (Notices(), drill(result="pending"), "no_evidence", "没有应发的通知"),
        (Notices(), drill(), "ok", ""),
        (KEPT, drill(), "ok", ""),
        (KEPT, drill(days=90), "ok", ""),
        (KEPT, drill(days=90.1), "warning", "超过 90 天"),
        (KEPT, None, "warning", "从未演练"),
        (KEPT, drill(result="failed"), "warning", "逾期未送达"),
        (KEPT, drill(result="late"), "warning", "逾期送达"),
        (KEPT, drill(result="pending"), "ok", ""),
        # An alarm well before a breach, and not at once.
        (Notices(waiting=1, oldest=timedelta(minutes=9)), drill(), "ok", ""),
        (Notices(waiting=1, oldest=timedelta(minutes=10)), drill(), "warning", "已等待 10 分钟"),
        (Notices(overdue=1, oldest=timedelta(minutes=31)), drill(), "breached", "请立即人工通知"),
        (replace(KEPT, late=1), drill(), "breached", "超过 30 分钟才送达"),
    ],
)
def test_the_clause_stands_as_notices_and_drill_say(
    notices: Notices, last: Drill | None, status: Status, said: str
) -> None:
    found, findings = judged(judge(notices, last, NOW, QUARTER))
    assert found == status
    assert said in "".join(findings)
    assert bool(findings) == (status != "ok")


def rehearsal(name: str, days: float, *, audiences: str = "drill") -> list[Fault | Duty]:
    """A drill that was delivered in a second."""
    at = NOW - timedelta(days=days)
    fault = Fault(
        id=name,
        component="registry",
        reason="演练",
        began_at=at,
        detected_at=at,
        source="person",
        audiences=audiences,
        downtime=False,
        drill=True,
        state="recovered",
        recovered_at=at,
    )
    told = duty(name, since=days * 86_400, took=1, audience=audiences.split(",", maxsplit=1)[0])
    return [fault, told]


def outage(name: str, *duties: Duty) -> list[Fault | Duty]:
    at = duties[0].since
    return [Fault(name, "database", "", at, at, "probe", "desk"), *duties]


@pytest.fixture
async def main(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'main.sqlite3'}")
    await create_tables(database)
    yield database
    await database.close()


@pytest.fixture
async def journals(tmp_path: Path) -> AsyncIterator[tuple[Journal, Journal]]:
    """This machine's journal and the other one's."""
    both = tuple(Journal(tmp_path / name / "journal.sqlite3", ManualClock(NOW)) for name in ("a", "b"))
    for journal in both:
        await journal.load()
    yield both[0], both[1]
    for journal in both:
        await journal.close()


async def read(journal: Journal, database: Database) -> tuple[Evidence, dict[str, Any]]:
    evidence = await NoticeEvidence(journal, database, ManualClock(NOW), QUARTER)()
    return evidence, {figure.code: figure.value for figure in evidence.figures}


async def test_a_drill_on_either_machine_counts_once_both_are_merged(
    journals: tuple[Journal, Journal], main: Database
) -> None:
    here, there = journals
    evidence, figures = await read(here, main)
    assert (evidence.status, figures["drill_at"]) == ("no_evidence", None)

    await here.write(rehearsal("d1", 120))
    evidence, figures = await read(here, main)
    assert (evidence.status, figures["drill_result"]) == ("warning", "通知均按时送达")

    await there.write(rehearsal("d2", 2, audiences="desk,supervisor"))
    await Merger(there, main, ManualClock(NOW)).merge()
    evidence, figures = await read(here, main)
    assert (evidence.status, figures["owed"]) == ("ok", 0)  # a drill owes the desk nothing
    assert figures["drill_at"] == "2026-03-30T16:00:00.000+08:00"
    assert figures["drill_component"] == "车辆登记信息查询（真实通道）"


async def test_what_both_machines_know_is_counted_once_and_the_first_proof_counts(
    journals: tuple[Journal, Journal], main: Database
) -> None:
    here, there = journals
    # Here nobody was told in time; the other machine had told them after a minute.
    await here.write(outage("f", duty(since=7200, took=1900), duty(kind="recovery", since=3600, took=20)))
    await there.write(outage("f", duty(since=7200, took=60)))
    evidence, figures = await read(here, main)
    assert (evidence.status, figures["late"]) == ("breached", 1)
    await Merger(there, main, ManualClock(NOW)).merge()
    evidence, figures = await read(here, main)
    assert (figures["owed"], figures["in_time"], figures["late"]) == (2, 2, 0)
    assert (evidence.status, figures["longest_seconds"]) == ("warning", 60.0)  # never rehearsed


async def test_older_notices_are_left_out_unless_they_are_owed_still(
    journals: tuple[Journal, Journal], main: Database
) -> None:
    here, _ = journals
    month = 31 * 86_400
    await here.write([*outage("old", duty("old", since=month, took=3000)), *rehearsal("d", 1)])
    evidence, figures = await read(here, main)
    assert (evidence.status, figures["owed"]) == ("ok", 0)
    await here.write(outage("older", duty("older", since=month, took=None, state="late")))
    evidence, figures = await read(here, main)
    assert (evidence.status, figures["overdue"]) == ("breached", 1)


async def test_without_the_main_database_the_journal_answers_and_the_clause_is_not_well(
    journals: tuple[Journal, Journal],
) -> None:
    here, _ = journals
    away = Database(f"postgresql+asyncpg://nobody@{LOOPBACK}:{free_port()}/movecar")
    await here.write([*outage("f", duty()), *rehearsal("d", 1)])
    evidence, figures = await read(here, away)
    assert (evidence.status, figures["in_time"]) == ("warning", 1)
    assert evidence.findings == ["主数据库无应答：以下只是本机的记录"]
    await away.close()
