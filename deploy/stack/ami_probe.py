"""The least of AMI: to see that a switch is ready, and for tests to look at it directly.

Not for the services, whose client is in `services.outbound`.
"""

import socket
from collections.abc import Callable, Iterator

Message = dict[str, str]


class AmiError(RuntimeError):
    """The manager interface refused the log-in or closed the connection."""


class AmiProbe:
    """One blocking connection, logged in. `deadline`: seconds any read may wait."""

    def __init__(self, host: str, port: int, user: str, secret: str, deadline: float = 10.0) -> None:
        self._socket = socket.create_connection((host, port), timeout=deadline)
        self._lines = self._socket.makefile("r", encoding="utf-8", errors="replace", newline="\r\n")
        self._seen: list[Message] = []
        try:
            self.banner = self._lines.readline().strip()
            answer = self.ask(("Action", "Login"), ("Username", user), ("Secret", secret))
        except BaseException:
            self.close()
            raise
        if answer.get("Response") != "Success":
            self.close()
            raise AmiError(answer.get("Message", "log-in refused"))

    def __enter__(self) -> "AmiProbe":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    def send(self, *fields: tuple[str, str]) -> None:
        """Send one action as it is: nothing is checked, tests need to send bad ones."""
        self.send_bytes(("".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode())

    def send_bytes(self, wire: bytes) -> None:
        """Send text that somebody else built."""
        self._socket.sendall(wire)

    def ask(self, *fields: tuple[str, str]) -> Message:
        """Send an action and return its response; events that come first are kept for `until`."""
        self.send(*fields)
        for message in self._read():
            if "Response" in message and "Event" not in message:
                return message
            self._seen.append(message)
        raise AmiError("connection closed")

    def until(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """All events up to and with the first wanted one; raises TimeoutError."""
        events, self._seen = self._seen, []
        for number, event in enumerate(events, start=1):
            if wanted(event):
                self._seen = events[number:]
                return events[:number]
        for event in self._read():
            events.append(event)
            if wanted(event):
                return events
        raise AmiError("connection closed")

    def _read(self) -> Iterator[Message]:
        message: Message = {}
        for line in self._lines:
            name, _, value = line.rstrip("\r\n").partition(": ")
            if name:
                message[name] = value
            else:
                yield message
                message = {}
