"""A line between the outbound service and the switch's manager that can be cut, kept away, and slow."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Self

from tests.reliability import messages

_PIECES = 3


class ManagerLine:
    """Listens on `port` of 127.0.0.1 and passes on to the switch.

    slow: shortest and longest pause, in seconds, before each message, which then comes in pieces.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.away = False
        self.slow: tuple[float, float] | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.away = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End every connection; new ones are let through unless the line is `away`."""
        with self._lock:
            ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                if self.away:
                    raise ConnectionRefusedError
                switch = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open += [client, switch]
            messages.join(client, switch, self._pass, self._pass)

    def _pass(self, message: bytes, pass_on: Callable[[bytes], None]) -> None:
        if self.slow is None:
            pass_on(message)
            return
        share = len(message) // _PIECES + 1
        for first in range(0, len(message), share):
            time.sleep(random.uniform(*self.slow) / _PIECES)
            pass_on(message[first : first + share])
