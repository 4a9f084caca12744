"""Things that take long to make, kept outside the checkout and made only once."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache_home() -> Path:
    """Our directory below the user's cache directory (XDG), which may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "movecar"


def built_once(name: str, build: Callable[[Path], None], home: Path | None = None) -> Path:
    """The cached directory `name`, made by `build(empty directory)` when it is not there yet.

    Two processes never build the same one: the second waits and takes the first one's. A build that fails
    or is killed leaves nothing that looks finished.
    """
    home = home or cache_home()
    finished, partial = home / name, home / f"{name}.partial"
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                build(partial)
                partial.rename(finished)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return finished
