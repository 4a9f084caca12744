"""The chain's last step reaches the supervisor: by e-mail and text message, retried, with proof (C3)."""

from pathlib import Path
from typing import Any

import pytest

from services.common.events import CaseWithdrawn, EscalationReminded
from services.common.settings import Settings
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
                lambda got: {one.channel for one in about_it(got, "恢复")} == {"sms", "supervisor_email"}, 20
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
