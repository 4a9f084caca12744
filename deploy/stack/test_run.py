"""`make test`: get every real part, run every test, and name in the last lines what could not be had.

Several processes of pytest work at once, a file of tests in one of them, and each has servers of its own.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

from deploy.asterisk.prompts import PromptError, prompt_directory
from deploy.stack import packages
from deploy.stack.asterisk_program import asterisk_program
from deploy.stack.service import ROOT

PARTS: dict[str, Callable[[], object]] = {
    "PostgreSQL": packages.postgres_bin,
    "Redis": packages.redis_server,
    "SIPp": packages.sipp_for_keypresses,
    "Asterisk": asterisk_program,
    "prompts": prompt_directory,
    "Chromium": packages.chromium,
}
_REAL = "tests/integration"
_FIRST = ("tests/unit", "tests/reliability", "tests/e2e", f"{_REAL}/stack", f"{_REAL}/telephony")
_SIDE_BY_SIDE = ("--dist", "loadfile", "--no-loadscope-reorder", "--durations", "25", "--durations-min", "5")
_AT_MOST = 6


def get_parts() -> dict[str, str]:
    """Get every part; what could not be had: name → remedy."""
    missing = {}
    for name, get in PARTS.items():
        try:
            get()
        except (packages.PartMissingError, PromptError) as error:
            missing[name] = str(error)
    return missing


def main(arguments: list[str]) -> int:
    """Exit status of pytest; 1 when all tests passed, a part is missing and CI=true."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument(
        "-w", "--workers", type=int, default=workers(), help="processes at once (%(default)s)"
    )
    parser.add_argument("pytest", nargs="*", help="what to run in place of everything")
    chosen, options = parser.parse_known_args(arguments)
    missing = get_parts()
    command = [sys.executable, "-m", "pytest", "-n", str(chosen.workers), *_SIDE_BY_SIDE]
    command += [*options, *(chosen.pytest or ordered())]
    # The program is started hundreds of times; compiled anew each time it would take half as long again.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    status = _run(command, environment)
    if not missing:
        return status
    print("\nParts that could not be had, whose tests did not run:")
    for problem in missing.values():
        print(f"  {problem}")
    return status or int(in_ci())


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Exit status. Ctrl-C reaches the command as well, which ends in order; its end is waited for."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as run:
        while True:
            try:
                return run.wait()
            except KeyboardInterrupt:
                continue


def workers() -> int:
    """One more than there are processors, since many tests wait for others; each takes up to 1.5 GB."""
    return min(len(os.sched_getaffinity(0)) + 1, _AT_MOST)


def ordered() -> list[str]:
    """What needs no server first, then what takes longest, so that it is not left over at the end."""
    tests = ROOT / "tests"
    found = {str(path.relative_to(ROOT).parent) for path in tests.glob("*/test_*.py")}
    found |= {str(path.relative_to(ROOT)) for path in tests.glob("integration/*/")}
    return [*_FIRST, *sorted(found - set(_FIRST))]


def in_ci() -> bool:
    """Whether a missing part is a failure."""
    return os.environ.get("CI", "").lower() in ("true", "1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
