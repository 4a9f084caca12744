"""The escalation process alone: no database, no Redis, no Asterisk, no neighbour; killed for real (C4)."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.escalation import Escalation, neighbour
from tests.support.program import ROOT
from tests.support.receivers import SECRET, receiving

ALL = ("push", "sms", "email", "supervisor_email")


async def test_with_everything_dead_the_desk_is_told_by_every_channel_and_kills_lose_nothing(
    tmp_path: Path,
) -> None:
    async with receiving() as desk:
        desk.refusing |= {"push", "sms", "email"}
        drills = {"MOVECAR_DRILL_PUSH_URL": desk.environment["MOVECAR_DESK_PUSH_URL"]}
        alone = Escalation(tmp_path, desk.environment | drills)
        await alone.start()
        try:
            # Found, and nobody takes it: killed with everything owed.
            await _opened(alone, {"movecar", "outbound", "database", "redis"})
            await alone.kill()
            desk.refusing.clear()
            await asyncio.sleep(3)  # longer than a part may be silent: the gap is a fault of its own
            await alone.start()
            for component in ("movecar", "outbound", "database", "redis"):
                await desk.until_told("fault.opened", component, *ALL)
            await desk.until_told("fault.opened", "escalation", "push")
            await desk.until_told("fault.recovered", "escalation", *ALL)
            # Recovery is the mirror image.
            async with neighbour(alone.movecar):
                await desk.until_told("fault.recovered", "movecar", *ALL)
            # Proof of each, from the journal, for the desk and the supervisor; nobody else.
            status, page = await alone.ask("GET", "/faults?component=movecar&status=recovered", "desk")
            assert status == 200
            (fault,) = page["items"]
            sent = await _proved(
                alone, fault["id"], ("recovery", "push"), ("recovery", "sms"), ("recovery", "email")
            )
            assert sent["fault", "push"]["proof"] == "HTTP 204"
            assert sent["recovery", "email"]["proof"].startswith("SMTP 250")
            assert sent["recovery", "sms"]["by"] == "SMS …0110"
            assert sent["recovery", "push"]["delivered_at"] <= sent["recovery", "push"]["due_at"]
            assert (await alone.ask("GET", "/faults", "operator"))[0] == 403
            # What needs the database says so, and names no defect.
            status, problem = await alone.ask("GET", "/escalations", "desk")
            assert (status, problem["code"]) == (503, "temporarily_unavailable")
            # The chain is rehearsed by the command, on the channel for drills alone.
            rehearsal = await alone.command("drill", "fault", "--component", "registry")
            assert "HTTP 204" in rehearsal
            await desk.until_told("fault.recovered", "registry", "push")
            assert all("【演练】" in one.text for one in desk.got if one.component == "registry")
            assert {one.channel for one in desk.got if one.component == "registry"} == {"push"}
            assert (await alone.ask("GET", "/faults/drills/last", "auditor"))[1]["component"] == "registry"
            # A person's notice counts, with who, when and what.
            other = await alone.ask("GET", "/faults?component=outbound&status=open", "desk")
            outbound = other[1]["items"][0]["id"]
            note = {"channel": "phone", "note": "已电话告知值班民警王某"}
            status, given = await alone.ask("POST", f"/faults/{outbound}/notices", "supervisor", note)
            assert status == 201
            assert ("phone", "supervisor1", "已电话告知值班民警王某") in {
                (one["channel"], one["by"], one["proof"]) for one in given["items"]
            }
        finally:
            await alone.kill()
        # Each notice has one id on every channel and every repeat.
        ids = {one.id for one in desk.got if one.channel == "push"}
        assert ids >= {one.id for one in desk.got if one.channel == "sms"}


async def _proved(alone: Escalation, fault: str, *wanted: tuple[str, str]) -> dict[tuple[str, str], Any]:
    """Return the notices of a fault once those that are wanted have their proof."""
    async with asyncio.timeout(60):
        while True:
            _, notices = await alone.ask("GET", f"/faults/{fault}/notices", "supervisor")
            sent = {(one["kind"], one["channel"]): one for one in notices["items"]}
            if all(sent.get(one, {}).get("proof") for one in wanted):
                return sent
            await asyncio.sleep(0.1)


async def _opened(alone: Escalation, components: set[str]) -> None:
    async with asyncio.timeout(90):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                _, page = await alone.ask("GET", "/faults?status=open", "desk")
                if {fault["component"] for fault in page["items"]} >= components:
                    return
            await asyncio.sleep(0.2)


WATCHDOG = ROOT / "deploy" / "watchdog" / "watchdog.py"


async def test_the_watchdog_tells_the_desk_when_the_escalation_process_hangs_although_it_was_killed_itself(
    tmp_path: Path,
) -> None:
    async with receiving() as desk:
        alone = Escalation(tmp_path, {})
        environment = {
            "PATH": os.environ["PATH"],
            "WATCHDOG_URL": f"http://{alone.address}",
            "WATCHDOG_STATE": str(tmp_path / "watchdog"),
            "WATCHDOG_PUSH_URL": f"http://127.0.0.1:{desk.http_port}/push",
            "WATCHDOG_PUSH_SECRET": SECRET,
            "WATCHDOG_SMTP_HOST": "127.0.0.1",
            "WATCHDOG_SMTP_PORT": str(desk.smtp_port),
            "WATCHDOG_MAIL_TO": "desk@example.com",
            "WATCHDOG_AFTER": "3",
            "WATCHDOG_EVERY": "0.5",
        }

        async def watchdog(*arguments: str) -> asyncio.subprocess.Process:
            # -I: nothing of the platform can be imported
            return await asyncio.create_subprocess_exec(
                sys.executable, "-I", str(WATCHDOG), *arguments, cwd="/", env=environment
            )

        await alone.start()
        await _opened(alone, {"movecar"})
        dog = await watchdog()
        try:
            once = await watchdog("--once")
            assert await once.wait() == 0
            desk.refusing |= {"push", "email"}
            await alone.kill(signal.SIGSTOP)
            await _says(tmp_path / "watchdog" / "state.json", '"fault.opened"', 1)
            dog.kill()
            await dog.wait()
            desk.refusing.clear()
            dog = await watchdog()
            await desk.until_told("fault.opened", "escalation", "push", "email")
            await alone.kill(signal.SIGCONT)
            await desk.until_told("fault.recovered", "escalation", "push", "email")
            for proof in ('"proof": "HTTP 204"', '"proof": "SMTP 250'):
                await _says(tmp_path / "watchdog" / "journal.log", proof, 2)
        finally:
            dog.kill()
            await dog.wait()
            await alone.kill(signal.SIGCONT)
            await alone.kill()


async def _says(path: Path, text: str, times: int) -> None:
    """Wait until a file of another process says something so often."""
    async with asyncio.timeout(60):
        while not path.exists() or path.read_text("utf-8").count(text) < times:  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.1)
