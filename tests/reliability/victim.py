"""`python -m tests.reliability.victim`: real outbound processes, one for each order, that die as ordered.

The interpreter loads the service once and forks, so that a process is up in a fraction of the time. Orders
come as lines of JSON on standard input; on standard output follow `{"id", "pid"}` for each process begun and
`{"id", "status"}` for each that ended.
"""

import contextlib
import ctypes
import json
import os
import runpy
import select
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop  # noqa: F401 # loaded before the fork
from sqlalchemy.dialects.postgresql import asyncpg  # noqa: F401

import services.outbound.app  # noqa: F401
from services.common.migrations import head
from services.common.phones import parse_chinese
from tests.reliability.boundaries import Boundaries

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take orders until standard input ends; then every process is killed."""
    waker, wakeable = os.pipe()
    os.set_blocking(wakeable, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(wakeable)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    head()
    parse_chinese("13800000001")  # both load what they need on first use
    running: dict[int, int] = {}
    orders = sys.stdin.fileno()
    rest = b""
    while True:
        ready, _, _ = select.select([orders, waker], [], [])
        if waker in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(waker, 4096)
            _reap(running)
        if orders in ready:
            data = os.read(orders, 65_536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if not pid:
                    _live(order)
                running[pid] = order["id"]
                _say({"id": order["id"], "pid": pid})
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _reap(running: dict[int, int]) -> None:
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _say({"id": running.pop(pid), "status": os.waitstatus_to_exitcode(status)})


def _say(message: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _live(order: dict[str, Any]) -> None:
    """Be the outbound service, in a process of its own, and never return."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(order["environment"])
        kill_at = tuple(order["kill_at"]) if order["kill_at"] else None
        switch = (os.environ["MOVECAR_AMI_HOST"], int(os.environ["MOVECAR_AMI_PORT"]))
        Boundaries(Path(order["trace"]), kill_at).install(switch)
        sys.argv = ["services.outbound"]
        runpy.run_module("services.outbound", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
