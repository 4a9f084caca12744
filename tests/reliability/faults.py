"""`make fault-matrix`: parts of a real installation die; how soon the desk is told, and of the recovery (C4).

The whole stack runs with every server real, and the watchdog beside it. The desk's system, its text messages
and its mailbox are real servers of this program: a notice counts from the moment it has arrived there. A part
is killed, frozen, filled up or cut off (`blows.py`); what counts is the time from that moment to the first
notice at the desk, and from the moment it is ready again to the notice of its recovery.

Each row begins with a whole installation and an escalation process with an empty journal, so that no row is
measured by the flaps or the late notices of the one before it. All rows take about twenty minutes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from deploy.asterisk.prompts import Voice
from deploy.stack.service import ROOT
from deploy.stack.stack import Stack, StackPlan
from services.common.clock import SystemClock, local
from tests.integration.registry.platform import answer, running_platform, vehicle
from tests.reliability.blows import BLOWS, PASSWORD, Blow, Scene, disk_of_our_own
from tests.reliability.cut_lines import CutLines
from tests.support.receivers import SECRET, Got, Receivers, receiving

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
TARGET_SECONDS = 30.0
PATIENCE_SECONDS = 150.0
CHANNELS = ("push", "sms", "email")
"""What reaches the desk; what the supervisor gets does not count."""
_SETTLE_SECONDS = 6.0
_LOOKS_SECONDS = 6.0
"""Enough for the new escalation process to have seen every part well."""
_WHOLE_SECONDS = 120.0


@dataclass
class Row:
    """What was seen of one blow: seconds to the first notice of each kind; missed and doubled notices.

    `failed`: why it could not be measured.
    """

    blow: Blow
    fault: list[float] = field(default_factory=list)
    recovery: list[float] = field(default_factory=list)
    missed: int = 0
    doubled: int = 0
    failed: str = ""


class CuttableStack(Stack):
    """The stack with a line of ours between the services and PostgreSQL, Redis and Asterisk's manager."""

    def __init__(self, plan: StackPlan, lines: CutLines) -> None:
        super().__init__(plan)
        self._lines = lines

    @property
    def environment(self) -> dict[str, str]:
        """As always, over the lines."""
        found = super().environment
        return found | {
            "MOVECAR_DATABASE_URL": self._lines.through(found["MOVECAR_DATABASE_URL"]),
            "MOVECAR_REDIS_URL": self._lines.through(found["MOVECAR_REDIS_URL"]),
            "MOVECAR_AMI_PORT": str(self._lines.to(int(found["MOVECAR_AMI_PORT"]))),
        }


class Matrix:
    """A running stack and what arrives at the desk."""

    def __init__(self, scene: Scene, desk: Receivers) -> None:
        self._scene, self._desk = scene, desk

    async def row(self, blow: Blow) -> Row:
        """Strike, wait for the notices, heal, wait for those; leave a whole installation behind."""
        row = Row(blow)
        try:
            await self._anew()
            await self._strike(row)
        except Exception as error:  # one row that fails must not cost the others
            row.failed = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            with contextlib.suppress(Exception):
                await blow.heal(self._scene)
        finally:
            for task in self._scene.asking:
                task.cancel()
            await asyncio.gather(*self._scene.asking, return_exceptions=True)
            self._scene.asking.clear()
        return row

    async def _strike(self, row: Row) -> None:
        blow, old = row.blow, {_id(one) for one in self._desk.got}
        seen = len(self._desk.got)
        struck = time.time()
        await blow.strike(self._scene)
        struck = time.time() if blow.slow else struck
        row.fault = await self._told(row, "fault.opened", blow.components, old, struck)
        if blow.between is not None:
            await blow.between(self._scene)
            row.fault += await self._told(row, "fault.opened", blow.later, old, time.time())
        # Ready again is when its own readiness says so, and not when somebody set out to start it.
        await blow.heal(self._scene)
        healed = time.time()
        every = blow.components + blow.later
        row.recovery = await self._told(row, "fault.recovered", every, old, healed)
        await asyncio.sleep(_SETTLE_SECONDS)
        arrived = [(one.channel, _id(one)) for one in self._desk.got[seen:] if one.channel in CHANNELS]
        row.doubled = len(arrived) - len(set(arrived))

    async def _told(
        self, row: Row, kind: str, components: Iterable[str], old: set[str], since: float
    ) -> list[float]:
        """Seconds until the desk had the first notice of each; of those it never got, `missed` is told."""
        waiting, delays = set(components), []
        until = time.monotonic() + PATIENCE_SECONDS
        while waiting and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(AssertionError):
                await self._desk.until(lambda got: bool(first_notices(got, kind, old).keys() & waiting), left)
            first = first_notices(self._desk.got, kind, old)
            for component in waiting & first.keys():
                delays.append(max(0.0, first[component] - since))
                waiting.discard(component)
        row.missed += len(waiting)
        return delays

    async def _anew(self) -> None:
        """Have everything well, and an escalation process that remembers nothing."""
        stack = self._scene.stack
        await stack.take_down("escalation")
        await asyncio.to_thread(shutil.rmtree, stack.plan.directory / "faults", ignore_errors=True)
        await stack.bring_up("escalation")
        async with aiohttp.ClientSession() as http, asyncio.timeout(_WHOLE_SECONDS):
            while not (await _is_ready(http, stack.url) and _is_content(self._scene.watchdog)):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        await asyncio.sleep(_LOOKS_SECONDS)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(5)) as answer:
            return answer.status == 200
    return False


def _is_content(state: Path) -> bool:
    """Whether the watchdog sees the escalation process well, and owes nobody a notice of before."""
    kept = json.loads(state.read_text()) if state.exists() else {}
    return not (kept.get("fault") or kept.get("owed"))


def _id(got: Got) -> str:
    """The notice's id, which an e-mail has before its own domain."""
    return got.id.strip("<>").partition("@")[0]


def first_notices(got: Iterable[Got], kind: str, old: set[str]) -> Mapping[str, float]:
    """Component → when the desk had the first notice of this kind, among those that are new."""
    first: dict[str, float] = {}
    for one in got:
        if one.channel in CHANNELS and one.type == kind and _id(one) not in old:
            first.setdefault(one.component, one.at)
    return first


@contextlib.asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[tuple[Scene, Receivers]]:
    """Run a whole installation with the watchdog beside it."""
    directory.chmod(0o755)  # noqa: ASYNC240 - before anything runs
    async with receiving() as desk, running_platform() as platform:
        platform.behaviours.append(answer(vehicle()))
        with disk_of_our_own(directory / "stack") as filler, CutLines() as lines:
            plan = StackPlan(
                directory=directory / "stack",
                voice=Voice("espeak-ng -v cmn -s 450 -w {wav} {text}"),
                durable=False,
                environment={
                    "MOVECAR_DEMO_PASSWORD": PASSWORD,
                    "MOVECAR_REGISTRY_URL": platform.url,
                    # Cases that got no answer from the registry wait for a person, and not for the desk.
                    "MOVECAR_ATTENTION_DEADLINE": "86400",
                    **desk.environment,
                },
            )
            async with CuttableStack(plan, lines) as stack, _watchdog(plan, directory, desk):
                yield Scene(stack, lines, platform, filler, directory / "watchdog" / "state.json"), desk


@contextlib.asynccontextmanager
async def _watchdog(plan: StackPlan, directory: Path, desk: Receivers) -> AsyncIterator[None]:
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
        yield
    finally:
        dog.kill()
        await dog.wait()


async def measure(directory: Path, blows: Sequence[Blow]) -> list[Row]:
    """Run the installation and strike it."""
    rows = []
    began = time.monotonic()
    _say(f"{len(blows)} rows; the installation starts ...")
    async with scene(directory) as (what, desk):
        matrix = Matrix(what, desk)
        for number, blow in enumerate(blows, 1):
            _say(f"{time.monotonic() - began:6.0f} s  {number}/{len(blows)}  {blow.part}: {blow.how} ...")
            rows.append(await matrix.row(blow))
            _say("          " + " | ".join(_cells(rows[-1])[2:]))
    _say(f"{time.monotonic() - began:6.0f} s  done")
    return rows


def _cells(row: Row) -> list[str]:
    if row.failed:
        return [row.blow.part, row.blow.how, f"not measured: {row.failed}", "–", "–", "–"]
    return [
        row.blow.part,
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
    """Return what was not measured, missed, or told later than the target."""
    found = [f"{_name(row)}: not measured: {row.failed}" for row in rows if row.failed]
    found += [f"{_name(row)}: {row.missed} missed" for row in rows if row.missed]
    return found + [
        f"{_name(row)}: later than {TARGET_SECONDS:g} s"
        for row in rows
        if any(delay > TARGET_SECONDS for delay in row.fault + row.recovery)
    ]


def _name(row: Row) -> str:
    return f"{row.blow.part} {row.blow.how}"


def chosen(only: str) -> list[Blow]:
    """Return the rows whose part or number was named; all for an empty text. Raises ValueError."""
    wanted = [one.strip() for one in only.split(",") if one.strip()]
    known = {one.lower() for number, blow in enumerate(BLOWS, 1) for one in (str(number), blow.part)}
    if unknown := [one for one in wanted if one.lower() not in known]:
        raise ValueError(f"no such row: {', '.join(unknown)}; see --list")
    lowered = {one.lower() for one in wanted}
    return [
        blow
        for number, blow in enumerate(BLOWS, 1)
        if not wanted or lowered & {str(number), blow.part.lower()}
    ]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Exit status 1 when a notice was missed or later than the target, or a row could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.faults", description=__doc__)
    parser.add_argument("--only", default="", help="rows, by part or number, separated by commas")
    parser.add_argument("--list", action="store_true", help="show the rows and their numbers")
    parser.add_argument("--directory", type=Path, help="keep logs and journals here")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    given = parser.parse_args()
    try:
        blows = chosen(given.only)
    except ValueError as error:
        parser.error(str(error))
    if given.write and len(blows) < len(BLOWS):
        parser.error("--write is for the whole table: leave --only out")
    if given.list:
        for number, blow in enumerate(BLOWS, 1):
            _say(f"{number:3}  {blow.part}: {blow.how}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell that starts it beside others has SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        home = given.directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="movecar-")))
        home.mkdir(parents=True, exist_ok=True)
        rows = asyncio.run(measure(home, blows))
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
