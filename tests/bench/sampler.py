"""Runs a module and samples where its main thread spends processor time: `--profile`.

    python -m tests.bench.sampler OUT MODULE

Unlike a tracing profiler it slows nothing down much, so that the shares stay true. It samples from SIGUSR1 to
SIGUSR2. At the end OUT gets, per function, its share by itself and with everything it calls.
"""

import asyncio
import atexit
import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import greenlet  # type: ignore[import-untyped]

_EVERY_SECONDS = 0.002
_SHOWN = 120


class Sampler:
    """Counts the functions on the stack at every tick of the process's processor time."""

    def __init__(self) -> None:
        self.samples = 0
        self.alone: Counter[str] = Counter()
        self.within: Counter[str] = Counter()
        self.tasks: Counter[str] = Counter()

    def start(self) -> None:
        """Wait for the signals."""
        signal.signal(signal.SIGPROF, self._take)
        signal.signal(signal.SIGUSR1, lambda *_: self._every(_EVERY_SECONDS))
        signal.signal(signal.SIGUSR2, lambda *_: self._every(0.0))

    def _every(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)

    def _take(self, _number: int, frame: FrameType | None) -> None:
        self.samples += 1
        names = []
        within = greenlet.getcurrent()
        while frame is not None:
            code = frame.f_code
            path = code.co_filename
            short = path.rpartition("site-packages/")[2].rpartition("/lib/python3")[2].rpartition("/main/")[2]
            names.append(f"{short}:{code.co_firstlineno} {code.co_qualname}")
            frame = frame.f_back
            if frame is None and within.parent is not None:  # SQLAlchemy's own stack: go on in its caller's
                within = within.parent
                frame = within.gr_frame
        self.tasks[_task()] += 1
        if names:
            self.alone[names[0]] += 1
            self.within.update(set(names))

    def write(self, path: Path) -> None:
        """Write the shares, in per cent of all samples."""
        self._every(0.0)
        lines = [f"{self.samples} samples of {_EVERY_SECONDS * 1000:g} ms processor time"]
        kinds = {"by task": self.tasks, "with all it calls": self.within, "by itself": self.alone}
        for title, counts in kinds.items():
            lines += ["", title]
            lines += [
                f"{100 * count / max(1, self.samples):6.1f} %  {name}"
                for name, count in counts.most_common(_SHOWN)
            ]
        path.write_text("\n".join(lines) + "\n", "utf-8")


def _task() -> str:
    """What the event loop is running, by name where it has one of ours."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return "outside the event loop"
    if task is None:
        return "callbacks and waiting"
    coroutine = getattr(task.get_coro(), "__qualname__", "?")
    return coroutine if task.get_name().startswith("Task-") else f"{task.get_name()} ({coroutine})"


def main() -> None:
    """Sample a module until it ends."""
    out, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv = [module]
    sampler = Sampler()
    atexit.register(sampler.write, out)
    sampler.start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
