"""`make simulate`: years of faults, one for each seed; a failing seed is printed and replays by `--seed`."""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.invariants import broken
from tests.simulation.world import Report, World, quiet


def year(seed: int) -> Report:
    """Simulate one year and check it."""
    world = World(seed)
    report = world.run()
    report.faults = sum(1 for kind, _ in world.disk.kept if kind.__name__ == "Fault")
    report.notices = sum(len(channel.taken) for channel in world.channels)
    report.broken = list(broken(world))
    return report


def main() -> int:
    """Exit status 1 when an invariant did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many years")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]
    failed, faults, notices, duplicates, kills = 0, 0, 0, 0, 0
    with ProcessPoolExecutor(given.jobs, initializer=quiet) as pool:
        for report in pool.map(year, seeds, chunksize=8):
            faults, notices = faults + report.faults, notices + report.notices
            duplicates, kills = duplicates + report.duplicates, kills + report.kills
            if report.broken:
                failed += 1
                print(f"seed {report.seed}: {len(report.broken)} broken, e.g. {report.broken[0]}")  # noqa: T201
                print(f"  replay: python -m tests.simulation --seed {report.seed}")  # noqa: T201
            if given.seed is not None:
                print("\n".join(report.broken) or "every invariant held")  # noqa: T201
    print(  # noqa: T201
        f"{len(seeds)} years, {failed} failed: {faults} faults, {notices} notices, "
        f"{duplicates} duplicates, {kills} kills"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
