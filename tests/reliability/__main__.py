"""`make reliability`: the promises of the outbound service (B1, B5), tried on real parts, and the report.

Exit status 1 when a promise was broken or a part is missing.
"""

import argparse
import asyncio
import contextlib
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.stack.asterisk_program import asterisk_program
from deploy.stack.child import PartFailedError
from deploy.stack.packages import PartMissingError
from deploy.stack.service import ROOT
from services.common.clock import SystemClock, local
from tests.bench.report import machine
from tests.reliability import report
from tests.reliability.ground import Ground, ground
from tests.reliability.lane import lanes
from tests.reliability.outages import OUTAGES, suffer_all
from tests.reliability.owners import PLAYED
from tests.reliability.report import Figures
from tests.reliability.soak import soak
from tests.reliability.walk import REDIAL, TWICE, Death, Walk, every, matrix, not_reached, sample

DOCUMENT = ROOT / "docs" / "reliability.md"


async def measure(given: argparse.Namespace, figures: Figures, directory: Path) -> None:
    """Run the chosen parts. Raises PartFailedError, PartMissingError."""
    only = given.only.split(",")
    if "walk" in only:
        async with ground(directory / "walk") as servers:
            with _timed(figures, "walk"):
                await _walk(servers, figures, given)
    if "outages" in only:
        async with ground(directory / "outages") as servers:
            with _timed(figures, "outages"):
                figures.outages = await suffer_all(servers, OUTAGES, given.share, given.seed, _say)
    if "soak" in only:
        with _timed(figures, "soak"):
            figures.soak = await soak(
                directory / "soak", given.rate, given.seconds, given.disguised, given.seed, _say
            )


async def _walk(servers: Ground, figures: Figures, given: argparse.Namespace) -> None:
    played = given.played.split(",")
    chance = random.Random(given.seed)

    def some(deaths: list[Death]) -> list[Death]:
        return sample(deaths, given.sample, chance) if given.sample else deaths

    async with lanes(servers, given.lanes, MOVECAR_REDIAL=REDIAL) as side_by_side:
        walk = Walk(side_by_side, _say)
        lives = await walk.lives([outcome for outcome in PLAYED if outcome in played])
        for outcome, boundaries in lives.items():
            _say(f"{outcome}: dies at each of {len(boundaries)} boundaries ...")
            await walk.run(some(every(outcome, boundaries)))
        again = await walk.second_lives([first for first in TWICE if first[0] in played])
        _say(f"dies again in {len(again)} ways ...")
        await walk.run(some(again))
        figures.walk = list((await matrix(servers, side_by_side, walk.runs)).values())
        figures.not_reached = dict(not_reached(walk.runs))


@contextlib.contextmanager
def _timed(figures: Figures, part: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    figures.took[part] = time.monotonic() - began


def main(arguments: list[str]) -> int:
    """See the module's own words."""
    today = local(SystemClock().now())
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--only", default=",".join(report.PARTS), help="parts to run")
    parser.add_argument("--played", default=",".join(PLAYED), help="outcomes to walk")
    parser.add_argument("--sample", type=int, default=0, help="deaths of each kind to try, at most; 0: all")
    parser.add_argument("--lanes", type=int, default=8, help="processes that die side by side")
    parser.add_argument(
        "--seed", type=int, default=today.toordinal(), help="order of the calls; the day's date"
    )
    parser.add_argument("--share", type=int, default=4, help="calls to each kind of owner in an outage")
    parser.add_argument("--rate", type=float, default=20.0, help="cases a second of the soak")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the soak")
    parser.add_argument("--disguised", type=int, default=160, help="hostile Originates during the soak")
    parser.add_argument("--directory", type=Path, help="keep the servers' files and logs here")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--write", action="store_true", help=f"write the report into {DOCUMENT.name}")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        directory = given.directory or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="movecar-reliability-"))
        )
        try:
            figures = Figures(
                command=shlex.join(["python", "-m", "tests.reliability", *arguments]),
                date=f"{today:%Y-%m-%d %H:%M}",
                seed=given.seed,
                machine=machine(asterisk_program().version()),
            )
            asyncio.run(measure(given, figures, directory))
        except (PartFailedError, PartMissingError) as error:
            sys.stderr.write(f"\nthe reliability run failed: {error}\n")
            return 1
    sections = report.sections(figures)
    _say("\n" + "\n".join(sections.values()))
    if given.write:
        report.write_into(DOCUMENT, sections)
    if given.json is not None:
        given.json.write_text(report.as_json(figures), "utf-8")
    for broken in figures.broken:
        sys.stderr.write(f"BROKEN {broken}\n")
    return int(bool(figures.broken))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
