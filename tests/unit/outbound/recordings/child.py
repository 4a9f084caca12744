"""A collector as a process of its own: `python -m tests.unit.outbound.recordings.child HOME DATABASE_URL`."""

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from services.common.database import Database
from tests.support.program import ROOT
from tests.unit.outbound.recordings.desk import Desk


@contextlib.asynccontextmanager
async def collecting(home: Path, url: str, through: Sequence[str] = ()) -> AsyncIterator[Process]:
    """Run a collector for the length of a block; `through` is a command that runs it."""
    command = (*through, sys.executable, "-m", __name__, str(home), url)
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _collect(home: Path, url: str) -> None:
    await Desk(Database(url), home).collector.run()


if __name__ == "__main__":
    asyncio.run(_collect(Path(sys.argv[1]), sys.argv[2]))
