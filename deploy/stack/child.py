"""One server process of ours: started, watched, stopped, killed or frozen, with its log in a file."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.stack.account import Account, as_account

_POLL = 0.02


class PartFailedError(RuntimeError):
    """A server did not start or stopped by itself; the message ends with the last lines of its log."""


class Child:
    """A process that never outlives the one that started it (parent death signal) and never blocks.

    It runs in its own session, so that Ctrl-C in a terminal reaches only the supervisor, which stops
    everything in order. Start it from a thread that lives as long as it should.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        account: Account,
        needs: Sequence[Path] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: str = "KILL",
        discard_output: bool = False,
    ) -> None:
        """discard_output: only what it writes to standard error goes into the log."""
        self.name = name
        self.log = log
        self._argv = as_account(argv, account, needs, orphan_signal)
        self._cwd = cwd
        self._env = dict(os.environ if env is None else env)
        self._stop_signal = stop_signal
        self._discard_output = discard_output
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; raises PartFailedError when it was never started."""
        if self._process is None:
            raise PartFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last run (negative: signal); None while running or never started."""
        return None if self._process is None else self._process.poll()

    def spawn(self) -> None:
        """Start the process; does not wait for it to be ready."""
        if self.running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if self._discard_output else log,
                stderr=log,
                cwd=self._cwd,
                env=self._env,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], deadline: float) -> None:
        """Wait until `ready()`; raises PartFailedError when the process dies or `deadline` seconds pass."""
        until = time.monotonic() + deadline
        while not ready():
            code = self.exit_code
            if code is not None:
                raise PartFailedError(f"{self.name} stopped with {code} while starting:\n{self.log_tail()}")
            if time.monotonic() > until:
                self.kill()
                raise PartFailedError(f"{self.name} was not ready in {deadline:g} s:\n{self.log_tail()}")
            self.wait(_POLL)

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end; whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, patience: float = 10.0) -> None:
        """Ask it to end; kill it after `patience` seconds. Does nothing when it is not running."""
        if not self.running:
            return
        self._signal_tree(signal.SIGCONT)  # a frozen process cannot hear the request
        os.kill(self.pid, self._stop_signal)
        if not self.wait(patience):
            self.kill()

    def kill(self) -> None:
        """SIGKILL it and all its children, as a power cut would; returns when they are gone."""
        if not self.running:
            return
        os.kill(self.pid, signal.SIGSTOP)  # it must not fork while the tree is being listed
        self._signal_tree(signal.SIGKILL)
        self.wait(10.0)

    def pause(self) -> None:
        """Freeze it with its children (SIGSTOP): sockets stay open, nothing answers."""
        self._signal_tree(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again after `pause()`."""
        self._signal_tree(signal.SIGCONT)

    def log_tail(self, lines: int = 20) -> str:
        """Last lines of its log, empty when there is none."""
        try:
            text = self.log.read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def cpu_seconds(self) -> float:
        """User and system time of the process so far (not of its children), in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _signal_tree(self, number: signal.Signals) -> None:
        for pid in [self.pid, *_descendants(self.pid)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            listed = children.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in map(int, listed):
            found += [child, *_descendants(child)]
    return found
