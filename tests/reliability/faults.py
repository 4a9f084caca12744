"""`make fault-matrix`: parts of a real installation die; how soon the desk is told, and of the recovery (C4).

The whole stack runs with every server real, and the watchdog beside it. The desk's system, its text messages
and its mailbox are real servers too. A part is killed (SIGKILL) or frozen (SIGSTOP); what counts is the time
from that moment to the first notice that arrived, and from the moment it is ready again to the notice of its
recovery.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.asterisk.prompts import Voice
from deploy.stack.service import ROOT
from deploy.stack.stack import Stack, StackPlan
from services.common.clock import SystemClock, local
from tests.support.receivers import SECRET, Got, Receivers, receiving

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
TARGET_SECONDS = 30.0
PATIENCE_SECONDS = 150.0
CHANNELS = ("push", "sms", "email")
_SETTLE_SECONDS = 6.0


@dataclass(frozen=True)
class Blow:
    """What is done to which parts of the stack, and the components the desk must hear of."""

    name: str
    how: str
    parts: tuple[str, ...]
    components: tuple[str, ...]


BLOWS = (
    Blow("movecar", "SIGKILL", ("movecar",), ("movecar",)),
    Blow("outbound", "SIGKILL", ("outbound",), ("outbound",)),
    Blow("outbound", "SIGSTOP", ("outbound",), ("outbound",)),
    Blow("escalation", "SIGKILL", ("escalation",), ("escalation",)),
    Blow("PostgreSQL", "SIGKILL", ("postgres",), ("database",)),
    Blow("Redis", "SIGKILL", ("redis",), ("redis",)),
    Blow("Redis", "SIGSTOP", ("redis",), ("redis",)),
    Blow("Asterisk", "SIGKILL", ("asterisk",), ("pbx",)),
    Blow(
        "all but escalation at once",
        "SIGKILL",
        ("movecar", "outbound", "asterisk", "redis", "postgres"),
        ("movecar", "outbound", "database", "redis", "pbx"),
    ),
)


@dataclass
class Row:
    """What was seen of one blow: seconds to the first notice of each kind; missed and doubled notices."""

    blow: Blow
    fault: list[float] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)
    missed: int = 0
    doubled: int = 0


class Matrix:
    """A running stack and what arrives at the desk."""

    def __init__(self, stack: Stack, desk: Receivers) -> None:
        self._stack, self._desk = stack, desk

    async def strike(self, blow: Blow) -> Row:
        """Do it, wait for the notices, undo it, wait for those."""
        row, seen = Row(blow), len(self._desk.got)
        began = time.time()
        for name in blow.parts:
            if blow.how == "SIGSTOP":
                self._stack.part(name).child.pause()
            else:
                await self._stack.take_down(name)
        row.fault = await self._told(row, "fault.opened", seen, began)
        # Ready again is when its own readiness says so, and not when somebody set out to start it.
        for name in reversed(blow.parts):
            if blow.how == "SIGSTOP":
                self._stack.part(name).child.resume()
            else:
                await self._stack.bring_up(name)
        row.recovery = await self._told(row, "fault.recovered", seen, time.time())
        await asyncio.sleep(_SETTLE_SECONDS)
        arrived = [(one.channel, one.id) for one in self._desk.got[seen:] if one.channel in CHANNELS]
        row.doubled = len(arrived) - len(set(arrived))
        return row

    async def _told(self, row: Row, kind: str, seen: int, since: float) -> list[float]:
        delays = []
        for component in row.blow.components:

            def told(got: list[Got], component: str = component) -> bool:
                return any(one.type == kind and one.component == component for one in got[seen:])

            try:
                await self._desk.until(told, PATIENCE_SECONDS)
            except AssertionError:
                row.missed += 1
                continue
            first = min(
                one.at for one in self._desk.got[seen:] if one.type == kind and one.component == component
            )
            delays.append(max(0.0, first - since))
        return delays


async def measure(directory: Path, blows: Sequence[Blow]) -> list[Row]:
    """Run the stack and strike it."""
    directory.chmod(0o755)  # noqa: ASYNC240 - before anything runs
    async with receiving() as desk:
        plan = StackPlan(
            directory=directory / "stack",
            voice=Voice("espeak-ng -v cmn -s 450 -w {wav} {text}"),
            durable=False,
            environment={"MOVECAR_DEMO_PASSWORD": "the desk listens", **desk.environment},
        )
        async with Stack(plan) as stack:
            environment = {
                "PATH": os.environ["PATH"],
                "WATCHDOG_URL": f"http://{plan.escalation_listen}",
                "WATCHDOG_STATE": str(directory / "watchdog"),
                "WATCHDOG_PUSH_URL": f"http://127.0.0.1:{desk.http_port}/push",
                "WATCHDOG_PUSH_SECRET": SECRET,
                "WATCHDOG_AFTER": "15",
                "WATCHDOG_EVERY": "2",
            }
            program = ROOT / "deploy" / "watchdog" / "watchdog.py"
            dog = await asyncio.create_subprocess_exec(
                sys.executable, "-I", str(program), env=environment, stderr=asyncio.subprocess.DEVNULL
            )
            try:
                await asyncio.sleep(20)  # every part has been known good, and the watcher looks in earnest
                rows = []
                for blow in blows:
                    _say(f"{blow.name} {blow.how} ...")
                    rows.append(await Matrix(stack, desk).strike(blow))
                    _say("  " + " | ".join(_cells(rows[-1])))
                return rows
            finally:
                dog.kill()
                await dog.wait()


def _cells(row: Row) -> list[str]:
    return [
        row.blow.name,
        row.blow.how,
        _longest(row.fault),
        _longest(row.recovery),
        str(row.missed),
        str(row.doubled),
    ]


def _longest(delays: Sequence[float]) -> str:
    return f"{max(delays):.1f} s" if delays else "–"


def markdown(rows: Sequence[Row]) -> str:
    """Return the table."""
    now = local(SystemClock().now())
    load = os.getloadavg()[0]
    lines = [
        f"`make fault-matrix` on {now:%Y-%m-%d}, {os.cpu_count()} cores, load {load:.0f} at its end.",
        "",
        "| part | how | fault → notice | recovery → notice | missed | doubled |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *("| " + " | ".join(_cells(row)) + " |" for row in rows)])


def broken(rows: Sequence[Row]) -> list[str]:
    """Return what was missed, or told later than the target."""
    found = [f"{row.blow.name}: {row.missed} missed" for row in rows if row.missed]
    return found + [
        f"{row.blow.name}: later than {TARGET_SECONDS:g} s"
        for row in rows
        if any(delay > TARGET_SECONDS for delay in row.fault + row.recovery)
    ]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Exit status 1 when a notice was missed or later than the target."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.faults", description=__doc__)
    parser.add_argument("--only", default="", help="parts, by name, separated by commas")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    given = parser.parse_args()
    only = given.only.split(",") if given.only else []
    with tempfile.TemporaryDirectory(prefix="movecar-") as home:
        rows = asyncio.run(measure(Path(home), [blow for blow in BLOWS if not only or blow.name in only]))
    table = markdown(rows)
    _say(table)
    if given.write:
        text = DOCUMENT.read_text("utf-8")
        head, _, rest = text.partition(BEGIN)
        DOCUMENT.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}", "utf-8")
    for what in broken(rows):
        _say(what)
    return 1 if broken(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
