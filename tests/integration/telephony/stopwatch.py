"""An owner with a stopwatch: how long after answering the telephone anything is heard in it (B2).

Just enough of SIP over UDP to take one call at a time: what is measured is on the wire, at the owner's end.
"""

import re
import select
import socket
import threading
import time
from types import TracebackType
from typing import Final, Self

from services.outbound.prompts.sound import is_audible

_HOST: Final = "127.0.0.1"
_RTP_HEADER: Final = 12
_DATAGRAM: Final = 4096


class Stopwatch:
    """Answers every call at once, and hangs up on the first packet of speech in which there is any sound."""

    def __init__(self) -> None:
        self._sip = self._socket()
        self._rtp = self._socket()  # one for each call: what is left of the last one is not heard in the next
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._call_id = ""
        self._answered_at: float | None = None
        self._bye: tuple[bytes, tuple[str, int]] | None = None
        self.delays: list[float] = []
        """Seconds from sending 200 to the first sound, for each call."""
        self.heard: list[bytes] = []
        """That sound: 20 ms of A-law."""

    @property
    def uri(self) -> str:
        """Trunk URI that leads here."""
        return f"sip:{_HOST}:{self._port(self._sip)}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._sip.close()
        self._rtp.close()

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((_HOST, 0))
        return made

    @staticmethod
    def _port(of: socket.socket) -> int:
        return int(of.getsockname()[1])

    def _run(self) -> None:
        while not self._stopped.is_set():
            readable, _, _ = select.select([self._rtp, self._sip], [], [], 0.1)
            for ready in readable:
                data, sender = ready.recvfrom(_DATAGRAM)
                if ready is self._rtp:
                    self._hear(data, time.monotonic())
                else:
                    self._talk(data.decode(), sender)

    def _hear(self, packet: bytes, at: float) -> None:
        sound = packet[_RTP_HEADER:]
        if self._answered_at is None or self._bye is None or not is_audible(sound, "alaw"):
            return
        self.heard.append(sound)
        self.delays.append(at - self._answered_at)
        self._answered_at = None
        self._sip.sendto(*self._bye)

    def _talk(self, message: str, sender: tuple[str, int]) -> None:
        method = message.split(" ", 1)[0]
        if method in {"SIP/2.0", "ACK"}:
            return
        if method != "INVITE":
            self._sip.sendto(self._answer(message, ""), sender)
            return
        if (call_id := _header(message, "Call-ID")) != self._call_id:  # else it is sent again
            self._call_id = call_id
            self._rtp.close()
            self._rtp = self._socket()
            self._bye = (self._hang_up(message), sender)
            self._answered_at = time.monotonic()
        sdp = f"v=0\r\no=- 1 1 IN IP4 {_HOST}\r\ns=-\r\nc=IN IP4 {_HOST}\r\nt=0 0\r\n"
        sdp += f"m=audio {self._port(self._rtp)} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
        self._sip.sendto(self._answer(message, sdp), sender)

    def _answer(self, request: str, body: str) -> bytes:
        lines = ["SIP/2.0 200 OK"]
        lines += re.findall(r"^Via:.*$", request.replace("\r", ""), re.MULTILINE)
        lines += [f"{name}: {_header(request, name)}" for name in ("From", "Call-ID", "CSeq")]
        lines += [f"To: {_tagged(request)}", f"Contact: <{self.uri}>"]
        lines += ["Content-Type: application/sdp"] if body else []
        lines += [f"Content-Length: {len(body)}", "", body]
        return "\r\n".join(lines).encode()

    def _hang_up(self, invite: str) -> bytes:
        target = _header(invite, "Contact").strip("<>")
        branch = f"z9hG4bK{time.monotonic_ns()}"
        lines = [
            f"BYE {target} SIP/2.0",
            f"Via: SIP/2.0/UDP {_HOST}:{self._port(self._sip)};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: {_tagged(invite)}",
            f"To: {_header(invite, 'From')}",
            f"Call-ID: {_header(invite, 'Call-ID')}",
            "CSeq: 1 BYE",
            "Content-Length: 0",
        ]
        return "\r\n".join([*lines, "", ""]).encode()


def _header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _tagged(request: str) -> str:
    """The request's To, with the tag that is ours."""
    to = _header(request, "To")
    return to if "tag=" in to else f"{to};tag=stopwatch"
