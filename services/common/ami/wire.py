"""One connection to Asterisk: a socket, and the one thread that reads and writes it.

Because a single thread owns the socket, messages can neither interleave nor be cut, TLS is safe, and it is
known of every message whether any of its bytes may have left. There is no read timeout: silence is normal,
and whether the peer lives is for a ping to find out. Nothing that is received can end the thread except by
ending the connection, and the event loop is woken once per batch, not once per message.
"""

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import asterisk.ami
import structlog

from services.common.ami.messages import Event, Malformed, Oversized, Response, Splitter, read

log = structlog.get_logger(__name__)

_MAX_BANNER: Final = 256
_READ: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where Asterisk listens. `tls` also checks the certificate against `host`, as its context says."""

    host: str
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Banner:
    """The peer is an Asterisk manager of this protocol version."""

    version: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is over; `unsent` are the messages of which provably no byte left."""

    reason: str
    unsent: frozenset[str]


Item = Banner | Response | Event | Lost


class _Closed(Exception):
    """Ends the thread; the reason is its argument."""


@dataclass(slots=True)
class _Outgoing:
    key: str
    data: memoryview
    begun: bool = False
    """Whether a byte of it may have left."""


class Wire:
    """A connection in the making, in use, or over; it is never used for a second connection.

    `deliver` is called in the wire's own thread with what arrived, in order; `Lost` is the last item.
    """

    def __init__(
        self,
        address: Address,
        wanted: frozenset[str],
        deliver: Callable[[list[Item]], None],
        connect_seconds: float,
    ) -> None:
        self._address = address
        self._wanted = frozenset(name.encode() for name in wanted)
        self._deliver = deliver
        self._connect_seconds = connect_seconds
        self._lock = threading.Lock()
        self._outbox: deque[_Outgoing] = deque()
        self._closing: str | None = None
        self._over = False
        self._waker, self._wakeable = socket.socketpair()
        self._waker.setblocking(False)
        self._wakeable.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._head: bytes | None = b""
        self._splitter = Splitter()
        self.malformed = 0
        """Messages that could not be read, and were left out."""

    def start(self) -> None:
        """Begin to connect."""
        threading.Thread(target=self._run, name="ami", daemon=True).start()

    def send(self, key: str, data: bytes) -> bool:
        """Queue a message; False when the connection is over, and the message will not be sent."""
        with self._lock:
            if self._over or self._closing:
                return False
            self._outbox.append(_Outgoing(key, memoryview(data)))
            self._wake()
        return True

    def withdraw(self, key: str) -> bool:
        """Take a queued message back; True when no byte of it left, or ever will."""
        with self._lock:
            for outgoing in self._outbox:
                if outgoing.key == key and not outgoing.begun:
                    self._outbox.remove(outgoing)
                    return True
        return False

    def close(self, reason: str) -> None:
        """End the connection; `Lost` follows. What is queued goes out as far as it can without waiting."""
        with self._lock:
            if not self._over and self._closing is None:
                self._closing = reason
                self._wake()

    def _wake(self) -> None:
        # A full pipe has a wake-up in it already.
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"\0")

    def _run(self) -> None:
        reason = "fault"
        try:
            with _dial(self._address, self._connect_seconds) as connection:
                self._pump(connection)
        except _Closed as closed:
            reason = str(closed)
        except ssl.SSLError as error:
            reason = f"tls_{(error.reason or 'error').lower()}"
        except TimeoutError:
            reason = "connect_timeout"
        except socket.gaierror:
            reason = "name_not_resolved"
        except OSError as error:
            reason = (
                "connection_refused" if isinstance(error, ConnectionRefusedError) else "connection_broken"
            )
        except Exception:
            log.exception("ami_thread_failed")
        finally:
            with self._lock:
                self._over = True
                unsent = frozenset(outgoing.key for outgoing in self._outbox if not outgoing.begun)
                self._selector.close()
                self._waker.close()
                self._wakeable.close()
            self._deliver([Lost(self._closing or reason, unsent)])

    def _pump(self, connection: socket.socket) -> None:
        self._selector.register(self._wakeable, selectors.EVENT_READ)
        self._selector.register(connection, selectors.EVENT_READ)
        if isinstance(connection, ssl.SSLSocket):
            self._handshake(connection)
        while True:
            blocked = self._flush(connection)
            if self._closing is not None:
                raise _Closed(self._closing)
            if self._wait(connection, write=blocked):
                self._receive(connection)

    def _wait(self, connection: socket.socket, *, write: bool, seconds: float | None = None) -> bool:
        """Sleep until something can be done; True when the connection may have something to read."""
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        if self._selector.get_key(connection).events != mask:
            self._selector.modify(connection, mask)
        readable = False
        for key, happened in self._selector.select(seconds):
            if key.fileobj is self._wakeable:
                with contextlib.suppress(BlockingIOError):
                    self._wakeable.recv(4096)
            else:
                readable = bool(happened & selectors.EVENT_READ)
        return readable

    def _handshake(self, connection: ssl.SSLSocket) -> None:
        deadline = time.monotonic() + self._connect_seconds
        while self._closing is None:
            try:
                return connection.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError from error
                self._wait(connection, write=isinstance(error, ssl.SSLWantWriteError), seconds=left)
        return None

    def _flush(self, connection: socket.socket) -> bool:
        """Write what is queued; True when the peer must read before more can be written."""
        while True:
            with self._lock:
                if not self._outbox:
                    return False
                outgoing = self._outbox[0]
                begun, outgoing.begun = outgoing.begun, True
            try:
                sent = connection.send(outgoing.data)
            except OSError as error:
                if self._address.tls is None:
                    outgoing.begun = begun  # the kernel took nothing; a TLS record may be half out
                if isinstance(error, BlockingIOError | ssl.SSLWantWriteError):
                    return True
                if isinstance(error, ssl.SSLWantReadError):
                    return False
                raise
            outgoing.data = outgoing.data[sent:]
            if not outgoing.data:
                with self._lock:
                    self._outbox.popleft()

    def _receive(self, connection: socket.socket) -> None:
        batch: list[Item] = []
        try:
            while self._closing is None:
                data = connection.recv(_READ)
                if not data:
                    raise _Closed("closed_by_peer")
                self._parse(data, batch)
                if self._address.tls is None:
                    break  # the selector tells of the rest; it cannot see what TLS has buffered
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except Oversized:
            raise _Closed("oversized_message") from None
        finally:
            if batch:
                self._deliver(batch)

    def _parse(self, data: bytes, batch: list[Item]) -> None:
        if self._head is not None:
            line, end, data = (self._head + data).partition(b"\r\n")
            if not end:
                self._head = line
                if len(line) > _MAX_BANNER:
                    raise _Closed("not_asterisk")
                return
            match = asterisk.ami.AMIClient.asterisk_start_regex.match(
                line[:_MAX_BANNER].decode("ascii", "replace")
            )
            if match is None:
                raise _Closed("not_asterisk")
            batch.append(Banner(match.group("version")))
            self._head = None
        for message in self._splitter.feed(data):
            try:
                item = read(message, self._wanted)
            except Malformed:
                self.malformed += 1
            else:
                if item is not None:
                    batch.append(item)


def _dial(address: Address, seconds: float) -> socket.socket:
    connection = socket.create_connection((address.host, address.port), timeout=seconds)
    try:
        # Actions are small and answers are awaited: without this, two in a row wait for a delayed ACK.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls is not None:
            connection = address.tls.wrap_socket(
                connection, server_hostname=address.host, do_handshake_on_connect=False
            )
        connection.setblocking(False)
    except BaseException:
        connection.close()
        raise
    return connection
