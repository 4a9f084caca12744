"""A disk that is really full: nothing is lost, somebody is told, and it goes on when there is room."""

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.stack.packages import PartMissingError
from tests.unit.outbound.recordings.child import collecting
from tests.unit.outbound.recordings.desk import Desk

RECORDINGS = 5
SECONDS = 10
SIZE = 44 + 2 * 8000 * SECONDS
DEADLINE = 60.0


def private_mounts() -> list[str]:
    """The beginning of a command that sees mounts of its own. Raises PartMissingError."""
    account = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *account, "--mount", "--propagation", "private", "--"]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        raise PartMissingError("a private mount", "allow mounts (CAP_SYS_ADMIN) or user namespaces")
    return command


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not reached():  # noqa: ASYNC110 # another process does it
            await asyncio.sleep(0.02)


async def test_a_full_disk_loses_nothing_and_the_rest_follows_when_there_is_room(desk: Desk) -> None:
    attempts = [await desk.call(ago=10 - number) for number in range(RECORDINGS)]
    sounds = {attempt: desk.record(attempt, SECONDS, 100 + n) for n, attempt in enumerate(attempts)}
    desk.store.mkdir()
    room = f"mount -t tmpfs -o size={2 * SIZE + 100_000},mode=700 movecar {desk.store}"
    through = [*private_mounts(), "sh", "-ec", f'{room}\nexec "$@"', "sh"]
    async with collecting(desk.home, desk.database.url, through) as child:
        await until(lambda: len(desk.left()) == RECORDINGS - 2)
        async with asyncio.timeout(DEADLINE):
            while not await desk.incidents():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await desk.incidents() == [("recordings_stalled", desk.collector.place)]
        for attempt in set(attempts) - set(await desk.rows()):
            assert (desk.spool / f"{attempt}.wav").read_bytes() == sounds[attempt]
        enter = ["nsenter", "-t", str(child.pid), *(["-U"] if os.geteuid() else []), "-m", "--"]
        remount = await asyncio.create_subprocess_exec(
            *enter, "mount", "-o", f"remount,size={20 * SIZE}", str(desk.store)
        )
        assert await remount.wait() == 0
        await until(lambda: not desk.left())
        async with asyncio.timeout(DEADLINE):
            while await desk.incidents():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        seen = Path(f"/proc/{child.pid}/root{desk.store}")  # the mount is the child's alone
        for attempt, row in (await desk.rows()).items():
            assert desk.vault.digest(seen / str(row.path), row.id).sha256 == row.sha256
            assert row.sha256 == hashlib.sha256(sounds[attempt]).hexdigest()
    assert sorted(event.attempt_id for event in await desk.told()) == sorted(attempts)
