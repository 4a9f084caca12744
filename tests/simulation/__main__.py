"""`make simulate`: years of faults, one for each seed; a failing seed is printed and replays by `--seed`."""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from tests.simulation.invariants import broken
from tests.simulation.world import Report, World, faults_of, quiet

_CHUNK = 8


def year(seed: int) -> Report:
    """Simulate one year and check it."""
    world = World(seed)
    report = world.run()
    report.faults = len(faults_of(world.records()))
    report.notices = sum(len(channel.taken) for channel in world.channels)
    report.broken = list(broken(world))
    return report


def _ready() -> None:
    quiet()
    gc.freeze()
    # A year's objects die with it; looking for cycles all the time costs a tenth.
    gc.set_threshold(100_000, 50, 50)


def main() -> int:
    """Exit status 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many years")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    console = Console(highlight=False)
    if given.seed is not None:
        _ready()
        report = year(given.seed)
        console.print("\n".join(report.broken) or "every invariant held", markup=False)
        return 1 if report.broken else 0
    began = time.monotonic()
    seeds = range(given.first, given.first + given.seeds)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with multiprocessing.Pool(given.jobs, _ready) as pool, Progress(*columns, console=console) as progress:
        found = progress.track(pool.imap_unordered(year, seeds, _CHUNK), total=len(seeds))
        reports = _watched(found, console)
    failed = [report for report in reports if report.broken]
    console.print(
        f"{len(reports)} years, {sum(report.machines > 1 for report in reports)} of two machines, "
        f"{len(failed)} failed: {sum(report.faults for report in reports)} faults, "
        f"{sum(report.notices for report in reports)} notices, "
        f"{sum(report.duplicates for report in reports)} repeated, "
        f"{sum(report.twice for report in reports)} given by both machines, "
        f"{sum(report.kills for report in reports)} kills; {time.monotonic() - began:.0f} s"
    )
    return 1 if failed else 0


def _watched(found: Iterable[Report], console: Console) -> list[Report]:
    """Return the reports; say of a failing seed how it replays as soon as it is known."""
    reports = []
    for report in found:
        reports.append(report)
        if report.broken:
            console.print(
                f"seed {report.seed}: {len(report.broken)} broken, e.g. {report.broken[0]}", markup=False
            )
            console.print(f"  replay: python -m tests.simulation --seed {report.seed}", markup=False)
    return reports


if __name__ == "__main__":
    sys.exit(main())
