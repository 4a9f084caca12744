"""The chain's last step reaches the supervisor: by e-mail and text message, retried, with proof (C3)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.common.clock import ManualClock
from services.common.events import CaseWithdrawn, EscalationReminded
from services.common.settings import Settings, load_settings
from services.escalation.chain.policy import policy_for
from services.escalation.faults.engine import Engine
from services.escalation.faults.journal import Journal
from services.escalation.faults.pair.joined import joined
from services.escalation.faults.unanswered import Unanswered
from services.escalation.models import Escalation
from tests.support.receivers import Got, receiving
from tests.unit.escalation.harness import Desk, serving, settings_for, until

CHAIN = {"ack_remind": 1, "ack_call": 1, "ack_again": 10}


def settings_with(directory: Path, environment: dict[str, str]) -> Settings:
    """Settings whose channels lead to `environment`, and whose chain comes to the supervisor at once."""
    given = {name.removeprefix("MOVECAR_").lower(): value for name, value in environment.items()}
    return settings_for(f"sqlite+aiosqlite:///{directory}/one.sqlite3", **CHAIN, **given)


def about_it(got: list[Got], *words: str) -> list[Got]:
    return [one for one in got if "移交110的事件" in one.text and all(word in one.text for word in words)]


async def unanswered(desk: Desk) -> list[dict[str, Any]]:
    _, page = await desk.call("GET", "/faults?component=unanswered", role="supervisor")
    return list(page["items"])


async def sent(desk: Desk) -> dict[str, Any]:
    """The notices of the one fault there is, by channel."""
    for fault in await unanswered(desk):
        _, page = await desk.call("GET", f"/faults/{fault['id']}/notices", role="supervisor")
        return {one["channel"]: one for one in page["items"] if one["channel"]}
    return {}


async def test_the_supervisor_is_told_until_it_is_taken_and_then_that_it_was(tmp_path: Path) -> None:
    async with receiving() as ends:
        supervisor = {**ends.environment, "MOVECAR_SUPERVISOR_SMS": "13900000120"}
        ends.refusing.add("email")  # the first tries fail
        async with serving(settings_with(tmp_path, supervisor)) as desk:
            escalation = await desk.escalate(reason="emergency_help")

            async def refused() -> bool:
                email = (await sent(desk)).get("supervisor_email")
                return email is not None and email["error"] != ""

            await until(refused)
            ends.refusing.clear()

            # The proof: who, when, how, and after how many tries.
            async def proved() -> bool:
                return all(one["delivered_at"] for one in (await sent(desk)).values())

            await until(proved)
            proofs = await sent(desk)
            assert proofs["supervisor_email"]["tries"] > 1
            assert proofs["supervisor_email"]["proof"].startswith("SMTP 250")
            assert proofs["supervisor_sms"]["by"] == "SMS …0120"
            (told,) = {one.text for one in about_it(ends.got)}
            assert "第1号（紧急求助）" in told
            assert "无人接收" in told
            (fault,) = await unanswered(desk)
            assert (fault["status"], fault["downtime"]) == ("open", False)
            assert (await desk.call("POST", f"/escalations/{escalation}/ack", {}))[0] == 200
            await ends.until(
                lambda got: {one.channel for one in about_it(got, "恢复")} == {"sms", "supervisor_email"}
            )
            # The desk itself was not told that it does not answer.
            assert all(one.channel in {"sms", "supervisor_email"} for one in about_it(ends.got))


@pytest.mark.parametrize("taken", ["ack", "disposition", "withdrawn"])
async def test_a_step_that_comes_twice_is_told_once_and_it_is_over_whoever_ends_it(
    tmp_path: Path, taken: str
) -> None:
    async with serving(settings_with(tmp_path, {})) as desk:
        escalation = await desk.escalate(reason="emergency_help")

        async def told() -> bool:
            return len(await unanswered(desk)) == 1

        await until(told)
        ((_, reminded),) = [
            (kind, payload)
            for kind, payload in await desk.emitted()
            if kind == EscalationReminded.TYPE and payload["step"] == "supervisor"
        ]
        again = EscalationReminded(
            occurred_at=reminded["occurred_at"],
            case_id="case-1",
            escalation_id=escalation,
            step="supervisor",
        )
        await desk.emit(again)
        match taken:
            case "ack":
                await desk.call("POST", f"/escalations/{escalation}/ack", {})
            case "disposition":
                body = {"code": "resolved", "note": ""}
                await desk.call("POST", f"/escalations/{escalation}/disposition", body)
            case _:
                await desk.emit(
                    CaseWithdrawn(
                        occurred_at=desk.kernel.clock.now(), case_id="case-1", escalation_id=escalation
                    )
                )

        async def over() -> bool:
            return [one["status"] for one in await unanswered(desk)] == ["recovered"]

        await until(over)


NOW = datetime(2026, 4, 1, tzinfo=UTC)


def waiting(steps: int, since: float = 0) -> Escalation:
    """An escalation that has waited for five minutes, or `since` seconds after that, with steps taken."""
    policy = policy_for("dispute", load_settings(_env_file=None))
    return Escalation(
        id="e1",
        seq=7,
        reason="dispute",
        status="raised",
        policy=policy.model_dump(),
        waits_from=NOW + timedelta(seconds=since),
        steps_taken=steps,
    )


@asynccontextmanager
async def machine(directory: Path) -> AsyncIterator[tuple[Unanswered, Engine]]:
    clock = ManualClock(NOW + timedelta(minutes=10))
    journal = Journal(directory / "journal.sqlite3", clock)
    engine = Engine(journal, clock, {"supervisor": ["email"]}, timedelta(seconds=15))
    await engine.start()
    yield Unanswered(engine, journal, clock), engine
    await journal.close()


async def test_of_two_machines_either_may_hear_of_the_step_and_the_other_of_its_end(tmp_path: Path) -> None:
    async with machine(tmp_path / "a") as (one, at_one), machine(tmp_path / "b") as (other, at_other):
        await one.tell(waiting(3), NOW + timedelta(minutes=5))
        await other.over(waiting(3), NOW + timedelta(minutes=6))
        (opened,), (ended,) = at_one.book.faults.values(), at_other.book.faults.values()
        assert opened.id == ended.id
        assert (opened.state, ended.state) == ("open", "recovered")
        assert joined(opened, ended).state == "recovered"


@pytest.mark.parametrize(
    ("steps", "since", "told"),
    [
        # reminded and called: not the supervisor's yet
        (2, 0, False),
        (3, 0, True),
        # it was taken and waits anew since that step was taken
        (3, 600, False),
    ],
)
async def test_an_end_ends_the_wait_that_it_is_about(
    tmp_path: Path, steps: int, since: float, told: bool
) -> None:
    async with machine(tmp_path) as (unanswered, engine):
        row = waiting(steps, since)
        await unanswered.tell(row, NOW + timedelta(minutes=5))
        assert len(engine.book.faults) == int(told)
        await unanswered.over(row, NOW + timedelta(minutes=6))
        states = [fault.state for fault in engine.book.faults.values()]
        assert states == ["recovered"] * int(told)


async def test_a_late_word_ends_the_wait_before_and_not_the_new_one(tmp_path: Path) -> None:
    async with machine(tmp_path) as (unanswered, engine):
        await unanswered.tell(waiting(3), NOW + timedelta(minutes=5))
        anew = waiting(3, since=400)
        await unanswered.tell(anew, NOW + timedelta(minutes=12))
        await unanswered.over(anew, NOW + timedelta(minutes=6))
        found = {fault.began_at: fault.state for fault in engine.book.faults.values()}
        assert found == {NOW: "recovered", NOW + timedelta(seconds=400): "open"}
