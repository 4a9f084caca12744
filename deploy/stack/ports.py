"""Free ports on the loopback interface."""

import os
import random
import socket
import threading

LOOPBACK = "127.0.0.1"
_RANGE = range(10_000, 32_000)  # below the kernel's ephemeral range: no outgoing connection can take one
SHARE = "MOVECAR_PORT_SHARE"
"""Environment variable, `K/N` with 0 <= K < N: only the K-th of N equal parts of the range is ours.

Processes that start servers beside one another are given a part each, so that none takes a port that another
one has chosen and not bound yet, or wants back after a restart.
"""
_given: set[int] = set()
_lock = threading.Lock()


def free_port(count: int = 1) -> int:
    """First of `count` neighbouring ports (even first) free for TCP and UDP on 127.0.0.1.

    Never gives the same port twice in one process, nor to one with another share (see `SHARE`). Any other
    process can still take it before it is bound; the server's own start then fails, naming the port.
    """
    ours = share()
    with _lock:
        for _ in range(1000):
            first = random.randrange(ours.start, ours.stop - count, 2)  # noqa: S311  # nosec B311 - not a secret
            wanted = range(first, first + count)
            if _given.isdisjoint(wanted) and all(is_free(port) for port in wanted):
                _given.update(wanted)
                return first
    raise OSError(f"no {count} neighbouring free ports in {ours.start}-{ours.stop}")


def share() -> range:
    """The ports that are ours to give: all of them, or the part that `SHARE` says. Raises ValueError."""
    number, _, parts = os.environ.get(SHARE, "0/1").partition("/")
    size = len(_RANGE) // int(parts) // 2 * 2
    return _RANGE[int(number) * size : (int(number) + 1) * size]


def is_free(port: int) -> bool:
    """Whether nothing on 127.0.0.1 has bound this port, neither for TCP nor for UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                return False
    return True


def address_towards(uri: str) -> str:
    """This machine's own address on the way to the host of a SIP URI; 127.0.0.1 when that is this machine.

    Raises OSError when the host is unknown or out of reach.
    """
    host = uri.partition(":")[2].partition(";")[0].partition(":")[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing: it only asks the kernel for a route
        return str(probe.getsockname()[0])
