"""AMI passed on message by message, so that something can happen before and after each of them."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator

Pass = Callable[[bytes, Callable[[bytes], None]], None]
"""Called with a message and what passes it on, whole or in pieces."""

_KIND = re.compile(rb"(?:Action|Event|Response): ([^\r]*)")
_DETAIL = re.compile(rb"\r\n(?:ChannelStateDesc|UserEvent|Phase|Key): ([^\r]*)")
_ID = re.compile(rb"[0-9a-f]{32}")


def label(message: bytes) -> str:
    """A short name of a message, without anything personal: `Newstate Ringing`."""
    kind = _KIND.match(message)
    if kind is None:
        return "banner"
    words = [kind[1], *_DETAIL.findall(message)] if message.startswith(b"Event") else [kind[1]]
    return " ".join(word.decode("ascii", "replace") for word in words if not _ID.fullmatch(word))


def ids(message: bytes) -> set[bytes]:
    """Attempt and action ids in a message."""
    return set(_ID.findall(message))


def _messages(source: socket.socket) -> Iterator[bytes]:
    rest = b""
    while data := source.recv(65_536):
        rest += data
        if rest.startswith(b"Asterisk Call Manager") and b"\r\n" in rest:
            banner, _, rest = rest.partition(b"\r\n")
            yield banner + b"\r\n"
        while b"\r\n\r\n" in rest:
            message, _, rest = rest.partition(b"\r\n\r\n")
            yield message + b"\r\n\r\n"


def _pump(source: socket.socket, sink: socket.socket, passing: Pass) -> None:
    with contextlib.suppress(OSError):
        for message in _messages(source):
            passing(message, sink.sendall)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def join(client: socket.socket, switch: socket.socket, sending: Pass, receiving: Pass) -> None:
    """Pass on everything between two connections, in threads, until one of them ends."""

    def run() -> None:
        back = threading.Thread(target=_pump, args=(switch, client, receiving), daemon=True)
        back.start()
        _pump(client, switch, sending)
        back.join()
        client.close()
        switch.close()

    threading.Thread(target=run, daemon=True).start()


def loopback_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection within this machine."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        near = socket.socket()
        near.connect(server.getsockname())
        far, _ = server.accept()
    return near, far
