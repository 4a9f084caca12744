"""`make bench`: calls per second and latencies on real Asterisk, beside a bare asterisk-ami loop."""

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.stack.child import PartFailedError
from deploy.stack.packages import PartMissingError
from tests.bench import report
from tests.bench.figures import CallsLost, Latency, Throughput
from tests.bench.installation import Installation
from tests.bench.phases import Bench
from tests.bench.switch import HastySwitch, PlainSwitch
from tests.bench.vehicles import write_csv

_VEHICLES = 30_000
_DISPUTES_FROM = 26_000
_BARE = {
    "bare": ("bare asterisk-ami loop", PlainSwitch),
    "lean": ("the same on the product's switch", HastySwitch),
}
"""The phases of the bare loop: what each is called, and the switch it has."""


@dataclass(frozen=True)
class Plan:
    """What to measure. Seconds are those of each steady window; `window`: calls up at a time.

    In the feed phase every `dispute_each`-th owner disputes, and `readers` desks and consoles are connected.
    """

    seconds: float
    warm: float
    rounds: int
    rate: float
    window: int
    dispute_each: int
    readers: int
    phases: frozenset[str]


@dataclass
class Results:
    """What was measured."""

    product: list[Throughput]
    bare: dict[str, list[Throughput]]
    """By what the phase is called."""
    to_invite: Latency | None = None
    to_feed: Latency | None = None


async def measure(plan: Plan, directory: Path, profiles: Path | None) -> tuple[Results, report.Machine]:
    """Run every phase on one installation. Raises CallsLost, PartFailedError, PartMissingError."""
    registry = directory / "vehicles.csv"
    write_csv(registry, _VEHICLES, _DISPUTES_FROM)
    switches = dict(_BARE[phase] for phase in _BARE if phase in plan.phases)
    results = Results([], {name: [] for name in switches})
    async with Installation(directory, registry, plan.window, _say, profiles) as installation:
        machine = report.machine(installation.asterisk.version())
        bench = Bench(installation, _DISPUTES_FROM, _VEHICLES, plan.window, plan.warm, plan.seconds)
        share = 20_000 // plan.rounds
        for turn in range(plan.rounds):
            if "product" in plan.phases:
                _say(f"product at saturation, round {turn + 1} ...")
                results.product.append(await bench.saturate(turn * share, share))
                _say(report.line(results.product[-1]))
            for name, rounds in results.bare.items():
                _say(f"{name}, round {turn + 1} ...")
                rounds.append(await bench.bare(0, 20_000, switches[name]))
                _say(report.line(rounds[-1]))
        if "invite" in plan.phases:
            _say(f"submit → INVITE at {plan.rate:g} calls/s ...")
            results.to_invite = await bench.to_invite(20_000, 3_000, plan.rate)
        if "feed" in plan.phases:
            _say(f"keypress → feed at {plan.rate:g} calls/s, {plan.readers} readers ...")
            results.to_feed = await bench.to_feed(23_000, 3_000, plan.rate, plan.dispute_each, plan.readers)
    return results, machine


def main(arguments: list[str]) -> int:
    """Exit status 1 when a call was lost or a part is missing."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, for development")
    parser.add_argument("--seconds", type=float, default=0.0, help="length of each steady window")
    parser.add_argument("--rate", type=float, default=20.0, help="calls a second of the latency phases")
    parser.add_argument("--window", type=int, default=100, help="calls up at a time at saturation")
    parser.add_argument("--dispute-each", type=int, default=4, help="every n-th owner disputes (feed phase)")
    parser.add_argument("--readers", type=int, default=50, help="desks and consoles connected (feed phase)")
    parser.add_argument("--rounds", type=int, default=0, help="how often product and bare loop take turns")
    parser.add_argument("--only", default="product,bare,lean,invite,feed", help="phases to run")
    parser.add_argument("--profile", type=Path, help="sample the services into this directory")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--markdown", type=Path, help="write the report to this file")
    given = parser.parse_args(arguments)
    plan = Plan(
        seconds=given.seconds or (8.0 if given.quick else 20.0),
        warm=3.0 if given.quick else 5.0,
        rounds=given.rounds or (1 if given.quick else 3),
        rate=given.rate,
        window=given.window,
        dispute_each=given.dispute_each,
        readers=given.readers,
        phases=frozenset(given.only.split(",")),
    )
    if given.profile is not None:
        given.profile.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="movecar-bench-") as directory:
        try:
            results, machine = asyncio.run(measure(plan, Path(directory), given.profile))
        except (CallsLost, PartFailedError, PartMissingError) as error:
            sys.stderr.write(f"\nmovecar's bench failed: {error}\n")
            return 1
    text = report.markdown(results.product, results.bare, results.to_invite, results.to_feed, machine)
    _say("\n" + text)
    if given.markdown is not None:
        given.markdown.write_text(text, "utf-8")
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(results) | {"machine": asdict(machine)}, indent=1), "utf-8")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
