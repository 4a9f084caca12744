"""What an outage cost, in the notice that reached the desk from a process of its own (C4)."""

from pathlib import Path

from services.movecar.app import build as build_movecar
from services.outbound.app import build as build_outbound
from tests.support.cases import open_until
from tests.support.escalation import Escalation
from tests.support.receivers import Got, Receivers, receiving
from tests.support.running import PASSWORD, Client, serving, settings_for

CHANNELS = ("push", "sms", "email")


async def test_the_recovery_notice_names_what_was_lost_and_what_is_not_known(tmp_path: Path) -> None:
    async with receiving() as desk:
        # Its database is away: what it would count itself is not known, what the others count is.
        alone = Escalation(tmp_path, desk.environment)
        alone.environment["MOVECAR_OUTBOUND_LISTEN"] = alone.environment["MOVECAR_LISTEN"]
        settings = settings_for(
            tmp_path,
            listen=alone.environment["MOVECAR_LISTEN"],
            demo_password=PASSWORD,
            sandbox_speed=100,
        )
        await alone.start()
        try:
            async with (
                serving(settings, [build_movecar, build_outbound]) as process,
                Client(process.address) as operator,
            ):
                await operator.log_in("op1")
                await desk.until_told("fault.opened", "database", *CHANNELS)
                began = process.kernel.clock.now().isoformat()
                await open_until(operator, "苏D10005", "escalated")
                # On a busy machine the second that figures may take can pass.
                for _ in range(20):
                    told = await _recovered(alone, desk, began)
                    if not any("受理情况不明" in one.text or "呼叫车主情况不明" in one.text for one in told):
                        break
        finally:
            await alone.kill()
        for one in told:
            assert "故障期间：受理1件，车辆查询失败0次，因故障转人工0件" in one.text
            assert "待送达接警台1件；呼叫车主1次，失败0次，结果不明0次" in one.text
            assert "；移交110情况不明。未能打进或未能登记的求助无法统计。" in one.text


async def _recovered(alone: Escalation, desk: Receivers, began: str) -> list[Got]:
    """Have a supervisor note a fault and its end; return the recovery notice from every channel."""
    seen = len(desk.got)
    found = {"component": "registry", "reason": "省厅平台无应答", "began_at": began}
    status, fault = await alone.ask("POST", "/faults", "supervisor", found)
    assert status == 201
    status, _ = await alone.ask("POST", f"/faults/{fault['id']}/recover", "supervisor", {})
    assert status == 200

    def told(got: list[Got]) -> list[Got]:
        kinds = {("fault.recovered", "registry")}
        return [one for one in got[seen:] if (one.type, one.component) in kinds and one.channel in CHANNELS]

    await desk.until(lambda got: {one.channel for one in told(got)} >= set(CHANNELS))
    return told(desk.got)
