"""What is done to a whole installation, and undone: the rows of the fault matrix (C4)."""

import asyncio
import contextlib
import itertools
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from deploy.stack.stack import Stack
from tests.integration.registry.platform import Platform, answer, response, silence, vehicle
from tests.reliability.cut_lines import CutLines

DISK_BYTES = 768 * 1024 * 1024
"""Room for the installation during a whole run, and not more: filling it takes time."""
PASSWORD = "the desk listens"
_CASES_EVERY = 0.5
_plates = itertools.count()


@dataclass
class Scene:
    """What blows fall on. `disk`: the file that fills the disk under everything; None: it is not ours.

    `watchdog`: where it keeps its state.
    """

    stack: Stack
    lines: CutLines
    platform: Platform
    disk: Path | None
    watchdog: Path
    asking: list[asyncio.Task[None]] = field(default_factory=list)


Act = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Blow:
    """A part is struck and healed; the desk must hear that each of `components` is down, and that it is back.

    `slow`: it has fallen when `strike` returns; others have when it is called.
    `later`: components of which nobody can tell until `between` was done, which is before the healing.
    """

    part: str
    how: str
    components: tuple[str, ...]
    strike: Act
    heal: Act
    later: tuple[str, ...] = ()
    between: Act | None = None
    slow: bool = False


def killed(part: str, *components: str) -> Blow:
    """SIGKILL, and down until it is started again."""
    return Blow(part, "SIGKILL", components, _take_down(PARTS[part]), _bring_up(PARTS[part]))


def frozen(part: str, *components: str) -> Blow:
    """SIGSTOP: its sockets stay open and nothing answers."""
    name = PARTS[part]

    async def strike(scene: Scene) -> None:
        scene.stack.part(name).child.pause()

    async def heal(scene: Scene) -> None:
        scene.stack.part(name).child.resume()

    return Blow(part, "SIGSTOP", components, strike, heal)


PARTS = {
    "movecar": "movecar",
    "outbound": "outbound",
    "escalation": "escalation",
    "PostgreSQL": "postgres",
    "Redis": "redis",
    "Asterisk": "asterisk",
    "trunk": "owners",
}


def _take_down(*names: str) -> Act:
    async def act(scene: Scene) -> None:
        await asyncio.gather(*(scene.stack.take_down(name) for name in names))

    return act


def _bring_up(*names: str) -> Act:
    async def act(scene: Scene) -> None:
        for name in names:
            await scene.stack.bring_up(name)

    return act


def _platform_is(behaviour: object) -> Act:
    """The registry platform behaves so, while operators open cases: nothing else asks it."""

    async def act(scene: Scene) -> None:
        scene.platform.behaviours[:] = [behaviour]  # type: ignore[list-item]
        if not scene.asking:
            scene.asking.append(asyncio.create_task(_open_cases(scene.stack.url)))

    return act


async def _open_cases(url: str) -> None:
    async with aiohttp.ClientSession(f"{url}/api/v1/") as http:
        body = {"username": "op1", "password": PASSWORD}
        async with http.post("sessions", json=body) as response:
            token = (await response.json())["token"]
        while True:
            case = {
                "plate": f"苏D{next(_plates):05d}",
                "location": "武进区延政中路18号",
                "requester_phone": "13900001111",
            }
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.post("cases", json=case, headers={"Authorization": f"Bearer {token}"}):
                    pass
            await asyncio.sleep(_CASES_EVERY)


async def _fill(scene: Scene) -> None:
    if scene.disk is None:
        raise RuntimeError("a disk of our own needs root: run as root, or leave this row out")
    await asyncio.to_thread(_take_all, scene.disk)


def _take_all(file: Path) -> None:
    """Take what is left of the disk to the last block."""
    with file.open("wb", buffering=0) as filler:
        room = os.fstatvfs(filler.fileno())
        with contextlib.suppress(OSError):
            os.posix_fallocate(filler.fileno(), 0, room.f_bavail * room.f_frsize)
        with contextlib.suppress(OSError):
            filler.seek(0, os.SEEK_END)
            while filler.write(bytes(room.f_frsize)):
                pass


async def _empty(scene: Scene) -> None:
    assert scene.disk is not None
    scene.disk.unlink()


async def _cut(scene: Scene) -> None:
    scene.lines.cut()


async def _mend(scene: Scene) -> None:
    scene.lines.mend()


_OTHERS = ("movecar", "outbound", "asterisk", "redis", "postgres")
BLOWS = (
    killed("movecar", "movecar"),
    frozen("movecar", "movecar"),
    killed("outbound", "outbound"),
    frozen("outbound", "outbound"),
    killed("escalation", "escalation"),
    frozen("escalation", "escalation"),
    killed("PostgreSQL", "database"),
    frozen("PostgreSQL", "database"),
    killed("Redis", "redis"),
    frozen("Redis", "redis"),
    killed("Asterisk", "pbx"),
    frozen("Asterisk", "pbx"),
    killed("trunk", "trunk"),
    frozen("trunk", "trunk"),
    Blow(
        "registry",
        "answers 503",
        ("registry",),
        _platform_is(response(503)),
        _platform_is(answer(vehicle())),
    ),
    Blow(
        "registry",
        "takes requests, answers nothing",
        ("registry",),
        _platform_is(silence),
        _platform_is(answer(vehicle())),
    ),
    Blow("disk", "full to the last block", ("disk",), _fill, _empty, slow=True),
    Blow(
        "network",
        "PostgreSQL, Redis and Asterisk cut off without a word",
        ("database", "redis", "pbx"),
        _cut,
        _mend,
    ),
    Blow(
        "all at once",
        "SIGKILL, escalation first back",
        ("escalation",),
        _take_down("escalation", *_OTHERS),
        _bring_up(*reversed(_OTHERS)),
        later=("movecar", "outbound", "database", "redis", "pbx"),
        between=_bring_up("escalation"),
    ),
)


@contextlib.contextmanager
def disk_of_our_own(directory: Path) -> Iterator[Path | None]:
    """Mount a disk at `directory` that can be filled; gives the file for that, or None without root."""
    directory.mkdir()
    if os.geteuid() != 0:
        yield None
        return
    options = f"size={DISK_BYTES},mode=0755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "movecar-fault-matrix", str(directory)]
    if subprocess.run(mount, check=False).returncode != 0:
        yield None
        return
    try:
        yield directory / "filler"
    finally:
        # Whoever still has a file open there keeps it until he is gone.
        subprocess.run(["umount", "--lazy", str(directory)], check=False)
