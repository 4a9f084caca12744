"""`make simulate`: years of faults, one for each seed; a failing seed is printed and replays by `--seed`."""

import argparse
import gc
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console

from tests.simulation.invariants import broken
from tests.simulation.world import Report, World, faults_of, quiet

INTERRUPTED = 130
_CHUNK = 8
_SAY_YEARS = 500
_SAY_SECONDS = 60.0


@dataclass
class Total:
    """What has come out of the years so far, in the order of their seeds."""

    years: int = 0
    pairs: int = 0
    failed: int = 0
    faults: int = 0
    kills: int = 0
    notices: int = 0
    duplicates: int = 0
    twice: int = 0

    def count(self, report: Report) -> None:
        """Add a year."""
        self.years += 1
        self.pairs += report.machines > 1
        self.failed += bool(report.broken)
        self.faults += report.faults
        self.kills += report.kills
        self.notices += report.notices
        self.duplicates += report.duplicates
        self.twice += report.twice

    def __str__(self) -> str:
        return (
            f"{self.years} years, {self.pairs} of two machines, {self.failed} failed: {self.faults} faults, "
            f"{self.kills} kills, {self.notices} notices, {self.duplicates} repeated, "
            f"{self.twice} given by both machines"
        )


class Progress:
    """Says how far it is: every 500 years, or every minute; whoever reads a file sees it too."""

    def __init__(self, seeds: range, console: Console) -> None:
        self.total = Total()
        self._seeds, self._console = seeds, console
        self._began = self._said_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been going."""
        return time.monotonic() - self._began

    def count(self, report: Report) -> None:
        """Add a year; say of a failing one at once how it replays."""
        self.total.count(report)
        if report.broken:
            self.say(f"seed {report.seed}: {len(report.broken)} broken, e.g. {report.broken[0]}")
            self.say(f"  replay: python -m tests.simulation --seed {report.seed}")
        done, due = self.total.years, time.monotonic() - self._said_at >= _SAY_SECONDS
        if (due or done % _SAY_YEARS == 0) and done < len(self._seeds):
            left = timedelta(seconds=round(self.seconds / done * (len(self._seeds) - done)))
            self.say(f"{self.total}; {left} left; to go on from here: {self.rest()}")
            self._said_at = time.monotonic()

    def rest(self) -> str:
        """Return the options that run what has not been counted."""
        done = self.total.years
        return f"--from {self._seeds.start + done} --seeds {len(self._seeds) - done}"

    def say(self, text: str) -> None:
        """Print a line, as long as it is."""
        self._console.print(text, markup=False, soft_wrap=True)


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that counts says what was interrupted
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()
    # A year's objects die with it; looking for cycles all the time costs a tenth.
    gc.set_threshold(100_000, 50, 50)


def main() -> int:
    """Exit status 1 when an invariant did not hold, 130 when it was interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many years")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    console = Console(highlight=False)
    if given.seed is not None:
        quiet()
        report = year(given.seed)
        console.print("\n".join(report.broken) or "every invariant held", markup=False)
        return 1 if report.broken else 0
    seeds = range(given.first, given.first + given.seeds)
    progress = Progress(seeds, console)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupted = False
    with multiprocessing.Pool(given.jobs, _ready) as pool:
        try:
            for report in pool.imap(year, seeds, _CHUNK):
                progress.count(report)
        except KeyboardInterrupt:
            interrupted = True
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = f"{progress.seconds:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor"
    progress.say(f"{progress.total}; {cost}")
    if interrupted:
        progress.say(f"interrupted; to go on: {progress.rest()}")
        return INTERRUPTED
    return 1 if progress.total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
