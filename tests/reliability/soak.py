"""Cases at a steady rate through the whole stack: every call ends as its owner played, and nothing grows."""

import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from deploy.asterisk.prompts import Voice, prompt_directory
from deploy.asterisk.render import DESK_CALLER_ID, DESK_NUMBER
from deploy.stack.service import ROOT
from deploy.stack.stack import Stack, StackPlan
from services.common.events import AttemptOutcome
from tests.bench.installation import PASSWORD, SERVICES
from tests.bench.load import Job
from tests.bench.switch import HastySwitch
from tests.bench.vehicles import plate
from tests.reliability import hostile
from tests.reliability.ground import PRESS_AFTER, QUICK, RING_SECONDS, open_to_all
from tests.reliability.lane import NO_LIMITS
from tests.reliability.owners import PLAYED, conclusion_of, make_owners, number
from tests.reliability.wire import read_wire

_MOST_CALLS: Final = 400
_LOOK_SECONDS: Final = 2.0
_SETTLE_SECONDS: Final = 120.0
_HOSTILE_FROM: Final = 90_000
_GROWTH: Final = 1.10
"""Last minute's resident memory over the first's; more is growth."""
_CALLS: Final = """
    SELECT contact.case_id, contact.outcome AS concluded, attempt.state, attempt.outcome
    FROM outbound_contacts AS contact
    LEFT JOIN outbound_attempts AS attempt ON attempt.contact_id = contact.id
    WHERE contact.case_id = ANY($1::varchar[])
"""


class SoakStack(Stack):
    """The stack, with owners whose every number is its own."""

    def __init__(self, directory: Path, registry: Path, report: Callable[[str], None]) -> None:
        plan = StackPlan(
            directory / "stack",
            seats=(),  # nobody is connected: each owner's own answer is judged
            environment={
                "MOVECAR_DEMO_PASSWORD": PASSWORD,
                "MOVECAR_REGISTRY_CSV": str(registry),
                "MOVECAR_MAX_CONCURRENT_CALLS": str(_MOST_CALLS // 2),
                "MOVECAR_REDIAL": "{}",  # each call is judged by itself
                "MOVECAR_RING_TIME": str(RING_SECONDS),
                "MOVECAR_CALL_LIMITS": NO_LIMITS,
            },
        )
        super().__init__(plan, report)

    def _make_servers(self) -> None:
        super()._make_servers()
        directory = self.plan.directory.absolute()
        self._parts["owners"] = make_owners(directory / "owners", press_after=PRESS_AFTER)
        self._parts["asterisk"] = HastySwitch(
            directory / "asterisk",
            prompts=prompt_directory(Voice(QUICK)),
            trunk_uri=self.trunk_uri,
            key_wait=1,
            max_calls=_MOST_CALLS,
        )

    def _make_services(self, environment: Mapping[str, str]) -> None:
        prompts = {"MOVECAR_PROMPTS_DIR": str(prompt_directory(Voice(QUICK)))}
        super()._make_services({**environment, **prompts})


@dataclass
class Soak:
    """What was seen. `memory`: resident MB of each service, mean of each minute; `files`: open descriptors at
    the first and the last look."""

    rate: float
    seconds: float
    cases: int = 0
    refused: int = 0
    ended: dict[str, dict[str, int]] = field(default_factory=dict)
    """By what the owner played: how often each outcome was told."""
    not_as_played: list[str] = field(default_factory=list)
    invites: int = 0
    hostile: int = 0
    desk_calls: int = 0
    shown_otherwise: list[str] = field(default_factory=list)
    anonymous: int = 0
    memory: dict[str, list[float]] = field(default_factory=dict)
    files: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def growing(self) -> list[str]:
        """Services whose memory grew from the first minute to the last."""
        return [name for name, minutes in self.memory.items() if minutes[-1] > _GROWTH * minutes[0]]

    @property
    def broken(self) -> list[str]:
        """Promises that were not kept, in words."""
        broken = [f"soak: {what}" for what in (*self.not_as_played, *self.shown_otherwise)]
        if self.refused:
            broken.append(f"soak: {self.refused} cases were not opened")
        return broken + [f"soak: memory of {name} grows: {self.memory[name]}" for name in self.growing]

    def markdown(self) -> list[str]:
        """The report."""
        as_played = sum(counts.get(played, 0) for played, counts in self.ended.items())
        calls = sum(sum(counts.values()) for counts in self.ended.values())
        lines = [
            "### A steady load",
            "",
            f"{self.rate:g} cases a second for {self.seconds:g} s through the whole stack, owners of "
            f"{len(self.ended)} kinds: {self.cases} cases, {calls} attempts, **{as_played} "
            f"({as_played / max(1, calls):.2%}) ended as the owner played**.",
            "",
            "| the owner played | attempts | ended as played |",
            "|---|---|---|",
            *(
                f"| {played} | {sum(counts.values())} | {counts.get(played, 0)} |"
                for played, counts in sorted(self.ended.items())
            ),
            "",
            "| resident memory, MB, mean of each minute | " + " | ".join(self.memory) + " |",
            "|---|" + "---|" * len(self.memory),
        ]
        minutes = max((len(values) for values in self.memory.values()), default=0)
        for minute in range(minutes):
            row = " | ".join(f"{values[minute]:.1f}" for values in self.memory.values())
            lines.append(f"| minute {minute + 1} | {row} |")
        files = " | ".join(f"{first} → {last}" for first, last in self.files.values())
        lines += [f"| open files, first → last look | {files} |", ""]
        right = self.invites - len(self.shown_otherwise)
        lines += [
            "### Caller ID on the wire",
            "",
            f"{self.invites} INVITEs to owners, {self.hostile} of them from Originates with a hostile "
            f"`CallerID` or `Variable` sent past the product with its own AMI account: **{right} "
            f"({right / max(1, self.invites):.2%}) showed 0519110 and nothing else** in From, "
            "P-Asserted-Identity, Contact and every other header that can show a number. "
            f"{self.anonymous} of the hostile ones had the name `Anonymous` beside that number in From: "
            "Asterisk puts it there when a variable forbids the presentation, which the product cannot say. "
            f"Beside them {self.desk_calls} calls to the desk's line, from a number of its own (C3).",
            "",
        ]
        return lines


async def soak(
    directory: Path, rate: float, seconds: float, disguised: int, seed: int, report: Callable[[str], None]
) -> Soak:
    """Run it. Raises PartFailedError, PartMissingError."""
    open_to_all(directory)
    played = _played(round(rate * seconds * 1.2) + 100, seed)
    registry = directory / "vehicles.csv"
    rows = (f"{plate(one)},蓝,王{one},{number(outcome, one)}" for one, outcome in enumerate(played))
    await asyncio.to_thread(registry.write_text, "\n".join(["plate,color,owner,phones", *rows, ""]), "utf-8")
    seen = Soak(rate, seconds)
    async with SoakStack(directory, registry, report) as stack:
        watching = asyncio.create_task(_watch(stack, seen))
        attacking = asyncio.create_task(
            asyncio.to_thread(hostile.attack, stack.asterisk, range(_HOSTILE_FROM, _HOSTILE_FROM + disguised))
        )
        opened = await _offer(stack, rate, seconds, len(played), seed)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        seen.cases, seen.refused = len(opened["opened"]), len(opened["refused"])
        seen.hostile = await attacking
        told = await _settled(stack, [case_id for _, case_id, *_ in opened["opened"]])
        wire = await asyncio.to_thread(read_wire, stack.owners.trace)
    for vehicle, case_id, *_ in opened["opened"]:
        outcome = played[vehicle]
        calls = told.get(case_id, [])
        rung = wire.invites[number(outcome, vehicle)]
        ended = seen.ended.setdefault(outcome, {})
        for call in calls:
            ended[str(call["outcome"])] = ended.get(str(call["outcome"]), 0) + 1
        as_told = [(call["outcome"], call["concluded"]) for call in calls]
        if as_told != [(outcome, conclusion_of(outcome))] or rung != 1:
            seen.not_as_played.append(f"{outcome}: {as_told}, rung {rung} times")
    to_owners = [call for call in wire.calls if call.called != DESK_NUMBER]
    to_desk = [call for call in wire.calls if call.called == DESK_NUMBER]
    seen.invites, seen.desk_calls = len(to_owners), len(to_desk)
    # The desk is called about what it leaves lying, and never from the owners' number (B1, C3).
    seen.shown_otherwise = [
        *hostile.shown_otherwise(to_owners),
        *hostile.shown_otherwise(to_desk, DESK_CALLER_ID),
    ]
    seen.anonymous = hostile.anonymous(to_owners)
    return seen


def _played(count: int, seed: int) -> list[AttemptOutcome]:
    chance = random.Random(seed)
    return [chance.choice(PLAYED) for _ in range(count)]


async def _offer(stack: SoakStack, rate: float, seconds: float, most: int, seed: int) -> dict[str, Any]:
    job = Job(
        address=stack.plan.listen,
        password=PASSWORD,
        database=_dsn(stack),
        first=0,
        most=most,
        seconds=seconds,
        rate=rate,
        seed=seed,
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, _ = await process.communicate(orjson.dumps(asdict(job)))
    if process.returncode != 0:
        raise RuntimeError(f"the operators ended with {process.returncode}")
    return dict(orjson.loads(out))


async def _settled(stack: SoakStack, ids: list[str]) -> dict[str, list[Any]]:
    """Attempts by case, once all are over."""
    database = await asyncpg.connect(_dsn(stack))
    until = time.monotonic() + _SETTLE_SECONDS
    try:
        while True:
            rows = await database.fetch(_CALLS, ids)
            open_ = sum(row["state"] != "ended" or row["concluded"] is None for row in rows)
            if (not open_ and len(rows) >= len(ids)) or time.monotonic() > until:
                told: dict[str, list[Any]] = {}
                for row in rows:
                    told.setdefault(row["case_id"], []).append(row)
                return told
            await asyncio.sleep(0.5)
    finally:
        await database.close()


def _dsn(stack: SoakStack) -> str:
    return stack.postgres.url().replace("postgresql+asyncpg", "postgresql")


async def _watch(stack: SoakStack, seen: Soak) -> None:
    """Look at memory and open files until cancelled; minutes are kept whole or left out."""
    pids = {name: stack.service(name).child.pid for name in SERVICES}
    looks: dict[str, list[float]] = {name: [] for name in SERVICES}
    began = time.monotonic()
    while True:
        for name, pid in pids.items():
            looks[name].append(_resident_mb(pid))
            first = seen.files.get(name, (_open_files(pid), 0))[0]
            seen.files[name] = (first, _open_files(pid))
        minute = int((time.monotonic() - began) // 60)
        for name in SERVICES:
            per_minute = max(1, round(60 / _LOOK_SECONDS))
            whole = [looks[name][at : at + per_minute] for at in range(0, len(looks[name]), per_minute)]
            seen.memory[name] = [statistics.mean(part) for part in whole[: max(1, minute)]]
        await asyncio.sleep(_LOOK_SECONDS)


def _resident_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
