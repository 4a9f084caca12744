"""Where a process can die: every commit, send and receive of the outbound service, seen from outside.

The service's code knows nothing of this. What is hooked are edges that stay where they are when the code
behind them changes: the commit of a SQLAlchemy session, the TCP connection to the switch, the bus.
"""

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction

from services.common.bus.redis import RedisBus
from tests.reliability import messages

Boundary = tuple[str, int]
"""A label and how often it was reached: the process dies there the n-th time, from 1."""

_WRITTEN: Final = "reliability_written"


class Boundaries:
    """Counts what a process comes past, keeps it in a file, and kills the process at one of them."""

    def __init__(self, trace: Path, kill_at: Boundary | None) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._kill_at = kill_at
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, label: str) -> None:
        """Come past a boundary, in any thread; does not return when it is the last one."""
        with self._lock:
            self._reached[label] += 1
            # Straight to the kernel: it must be there when the next instruction is never carried out.
            os.write(self._trace, f"{label}\n".encode())
            if self._kill_at == (label, self._reached[label]):
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    def install(self, switch: tuple[str, int]) -> None:
        """Hook this process. `switch`: the manager's address."""
        _hook_commits(self.reach)
        _hook_bus(self.reach)
        _hook_manager(self.reach, switch)


def read_trace(trace: Path) -> list[Boundary]:
    """The boundaries that a process came past, in order."""
    counts: Counter[str] = Counter()
    reached = []
    for label in trace.read_text("utf-8").splitlines():
        counts[label] += 1
        reached.append((label, counts[label]))
    return reached


def _hook_commits(reach: Callable[[str], None]) -> None:
    """Commits that wrote something, named by the tables written to."""

    def note(session: Session, tables: set[str]) -> None:
        session.info.setdefault(_WRITTEN, set()).update(tables)

    @event.listens_for(Session, "do_orm_execute")
    def executed(state: ORMExecuteState) -> None:
        if state.is_insert or state.is_update or state.is_delete:
            note(state.session, {str(getattr(state.statement, "table", "?"))})

    @event.listens_for(Session, "after_flush")
    def flushed(session: Session, _: UOWTransaction) -> None:
        note(session, {item.__tablename__ for item in (*session.new, *session.dirty, *session.deleted)})

    @event.listens_for(Session, "before_commit")
    def committing(session: Session) -> None:
        if session.info.get(_WRITTEN):
            reach(f"before commit of {'+'.join(sorted(session.info[_WRITTEN]))}")

    @event.listens_for(Session, "after_commit")
    def committed(session: Session) -> None:
        written = session.info.pop(_WRITTEN, None)
        if written:
            reach(f"after commit of {'+'.join(sorted(written))}")


def _hook_bus(reach: Callable[[str], None]) -> None:
    names = {"publish": "publishing to the bus", "settle_after": "settling with the bus"}
    for method, what in names.items():
        _around(RedisBus, method, reach, what)
    next_batch = RedisBus.next_batch

    async def taking(*arguments: Any) -> Any:
        entries = await next_batch(*arguments)
        if entries:
            reach("after receiving from the bus")
        return entries

    RedisBus.next_batch = taking  # type: ignore[method-assign, assignment]


def _around(owner: type, method: str, reach: Callable[[str], None], what: str) -> None:
    real = getattr(owner, method)

    async def between(*arguments: Any, **options: Any) -> Any:
        reach(f"before {what}")
        answer = await real(*arguments, **options)
        reach(f"after {what}")
        return answer

    setattr(owner, method, between)


def _hook_manager(reach: Callable[[str], None], switch: tuple[str, int]) -> None:
    """Every connection to the switch goes through this process itself, a message at a time."""
    connect = socket.create_connection

    def connecting(address: Any, *arguments: Any, **options: Any) -> socket.socket:
        connection = connect(address, *arguments, **options)
        if tuple(address) != switch:
            return connection
        connection.settimeout(None)
        near, far = messages.loopback_pair()
        ours: set[bytes] = set()

        def send(message: bytes, pass_on: Callable[[bytes], None]) -> None:
            ours.update(messages.ids(message))
            reach(f"before sending {messages.label(message)}")
            pass_on(message)
            reach(f"after sending {messages.label(message)}")

        def receive(message: bytes, pass_on: Callable[[bytes], None]) -> None:
            # Every client hears of every call; those of other processes are no boundaries of this one.
            known = messages.ids(message)
            if known and not known & ours:
                pass_on(message)
                return
            reach(f"before receiving {messages.label(message)}")
            pass_on(message)
            reach(f"after receiving {messages.label(message)}")

        messages.join(far, connection, send, receive)
        return near

    socket.create_connection = connecting
