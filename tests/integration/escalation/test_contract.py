"""What the 110 side proves of the contract's clauses, on both databases."""

from datetime import timedelta
from typing import Any

from sqlalchemy import update

from services.escalation.faults.models import FaultDuty, FaultRow
from services.escalation.models import EscalationStep, FeedItem
from tests.unit.escalation.harness import Desk, serving, settings_for

DRILL = "d" * 32
FAULT = "f" * 32


async def clauses(desk: Desk) -> dict[str, dict[str, Any]]:
    status, page = await desk.call("GET", "/contract/escalation", role="auditor")
    assert status == 200, page
    return {
        name: evidence | {"figures": {figure["code"]: figure["value"] for figure in evidence["figures"]}}
        for name, evidence in page["clauses"].items()
    }


async def told(desk: Desk, fault_id: str, *, ago: timedelta, took: timedelta, drill: bool) -> None:
    """Put a fault and its notice where the other machine's journal is merged to."""
    at = desk.kernel.clock.now() - ago
    audience = "drill" if drill else "desk"
    known = {"revision": 1, "journal": 7}
    fault = FaultRow(
        id=fault_id,
        component="registry",
        reason="",
        began_at=at,
        detected_at=at,
        source="person",
        state="open",
        opened_by="",
        downtime=not drill,
        planned=False,
        drill=drill,
        lost="",
        audiences=audience,
        flaps=0,
        machine="standby",
        **known,
    )
    duty = FaultDuty(
        id=f"{fault_id}-fault-{audience}",
        subject=fault_id,
        kind="fault",
        audience=audience,
        since=at,
        due_at=at + timedelta(minutes=30),
        state="kept" if took <= timedelta(minutes=30) else "kept_late",
        kept_at=at + took,
        kept_by="push",
        **known,
    )
    async with desk.kernel.database.transaction() as session:
        session.add_all([fault, duty])


async def test_each_clause_follows_what_happens_at_the_desk(database_url: str) -> None:
    async with serving(settings_for(database_url)) as desk:
        found = await clauses(desk)
        assert {name: one["status"] for name, one in found.items()} == dict.fromkeys(
            ("C2", "C3", "C4"), "no_evidence"
        )

        # A drill on the other machine.
        second = timedelta(seconds=1)
        await told(desk, DRILL, ago=timedelta(days=2), took=second, drill=True)
        found = await clauses(desk)
        assert found["C4"]["status"] == "ok"
        assert found["C4"]["figures"]["drill_result"] == "通知均按时送达"
        # Too long ago.
        async with desk.kernel.database.transaction() as session:
            long_ago = desk.kernel.clock.now() - timedelta(days=91)
            await session.execute(update(FaultRow).values(detected_at=long_ago))
        found = await clauses(desk)
        assert (found["C4"]["status"], found["C4"]["findings"]) == ("warning", ["已超过 90 天没有演练"])
        # A notice that came too late.
        await told(desk, FAULT, ago=timedelta(hours=2), took=timedelta(minutes=31), drill=False)
        found = await clauses(desk)
        assert found["C4"]["status"] == "breached"
        assert found["C4"]["figures"]["longest_seconds"] == 1860
        assert found["C4"]["figures"]["late"] == found["C4"]["figures"]["owed"] == 1

        # An escalation, that the desk acknowledges, and a reader that keeps its place.
        escalation = await desk.escalate()
        await desk.item(1)
        found = await clauses(desk)
        assert found["C3"]["figures"]["waiting"] == 1
        assert (found["C2"]["status"], found["C2"]["figures"]["newest"]) == ("no_evidence", 1)
        await desk.call("PUT", "/feed/readers/main", {"seq": 1})
        status, _ = await desk.call("POST", f"/escalations/{escalation}/ack", {})
        assert status == 200
        found = await clauses(desk)
        figures = found["C3"]["figures"]
        assert (figures["raised"], figures["waiting"], figures["in_hand"]) == (1, 0, 1)
        assert found["C3"]["status"] == "ok"
        assert found["C2"]["status"] == "ok"
        assert found["C2"]["figures"]["behind_1"] == 1
        # A step that was taken in time, and one that was not.
        raised = desk.kernel.clock.now() - timedelta(minutes=5)
        async with desk.kernel.database.transaction() as session:
            for late in (9.9, 10.1):
                due = raised + timedelta(seconds=60)
                taken = due + timedelta(seconds=late)
                session.add(
                    EscalationStep(escalation_id=escalation, step="remind", due_at=due, taken_at=taken)
                )
        found = await clauses(desk)
        assert (found["C3"]["figures"]["steps"], found["C3"]["figures"]["late"]) == (2, 1)
        assert found["C3"]["status"] == "warning"
        # Behind for too long.
        async with desk.kernel.database.transaction() as session:
            hour = desk.kernel.clock.now() - timedelta(hours=1)
            await session.execute(update(FeedItem).values(occurred_at=hour))
        found = await clauses(desk)
        assert found["C2"]["status"] == "warning"
        assert found["C2"]["findings"] == ["读者 main 落后 1 条，最早的已等待 60 分钟"]

        for role in ("operator", "desk", "admin"):
            assert (await desk.call("GET", "/contract/escalation", role=role))[0] == 403
