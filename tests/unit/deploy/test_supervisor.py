"""Parts that die are started again, later each time."""

import asyncio
from pathlib import Path

import pytest

from deploy.stack import supervisor
from deploy.stack.account import myself
from deploy.stack.child import Child, PartFailedError
from deploy.stack.supervisor import Supervisor


class Shell:
    """A part that runs a shell command."""

    def __init__(self, command: str, log: Path) -> None:
        self.child = Child("shell", ["sh", "-c", command], log=log, account=myself())
        self.starts = 0

    def spawn(self) -> None:
        self.starts += 1
        self.child.spawn()

    def wait_ready(self, deadline: float = 5.0) -> None:
        self.child.wait_until(lambda: self.child.running, deadline)

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.kill()


class Reports:
    def __init__(self, enough: int) -> None:
        self.lines: list[str] = []
        self._enough = enough
        self.complete = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) >= self._enough:
            self.complete.set()


async def test_pauses_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.03)
    part, reports = Shell("exit 3", tmp_path / "log"), Reports(enough=8)
    part.spawn()
    keeper = Supervisor(reports)
    keeper.watch("shell", part)
    async with asyncio.timeout(60):
        await reports.complete.wait()
    await keeper.close()
    part.stop()
    deaths = [line for line in reports.lines if "starting it again" in line]
    assert [line.rpartition(" in ")[2] for line in deaths[:4]] == ["0.01 s", "0.02 s", "0.03 s", "0.03 s"]
    assert all("stopped with 3" in line for line in deaths)


async def test_a_part_that_is_no_longer_watched_stays_dead(tmp_path: Path) -> None:
    part = Shell("sleep 60", tmp_path / "log")
    part.spawn()
    keeper = Supervisor(lambda _line: None)
    keeper.watch("shell", part)
    await keeper.leave("shell")
    part.kill()
    await asyncio.sleep(0)
    assert (part.starts, part.child.running, part.child.exit_code) == (1, False, -9)
    await keeper.close()


def test_a_frozen_process_can_still_be_stopped(tmp_path: Path) -> None:
    part = Shell("sleep 60 & wait", tmp_path / "log")
    part.spawn()
    part.child.pause()
    part.stop()
    assert part.child.exit_code == -15


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    part = Shell(f"trap '' TERM; : > {ready}; while :; do sleep 1; done", tmp_path / "log")
    part.spawn()
    part.child.wait_until(ready.exists, 5.0)
    part.child.stop(patience=0.1)
    assert part.child.exit_code == -9


def test_the_reason_of_a_failed_start_is_the_end_of_the_log(tmp_path: Path) -> None:
    part = Shell("echo port is taken; exit 1", tmp_path / "log")
    part.spawn()
    with pytest.raises(PartFailedError, match=r"shell stopped with 1 while starting:\nport is taken"):
        part.child.wait_until(lambda: False, 5.0)
