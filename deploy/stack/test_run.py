"""`make test`: get every real part, run every test, and name in the last lines what could not be had."""

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
_FIRST = "tests/unit"


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
    missing = get_parts()
    tests = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").iterdir() if path.is_dir())
    ordered = [_FIRST, *(path for path in tests if path != _FIRST and not path.endswith("__pycache__"))]
    command = [sys.executable, "-m", "pytest", *(arguments or ordered)]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if not missing:
        return status
    print("\nParts that could not be had, whose tests did not run:")
    for problem in missing.values():
        print(f"  {problem}")
    return status or int(in_ci())


def in_ci() -> bool:
    """Whether a missing part is a failure."""
    return os.environ.get("CI", "").lower() in ("true", "1")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
