"""Operators' telephones: a SIPp server that answers, and registrations that tell the switch where it is (B7).

seat       behaviour
busy       486 busy
declines   603 declines
deaf       rings until it is given up
hasty      answers, hangs up at once
brief      answers, talks for nine seconds, hangs up
any other  answers, hangs up after `talk` seconds
"""

import hashlib
import re
import secrets
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

from deploy.asterisk.render import PbxSettings, seat_user
from deploy.stack import packages
from deploy.stack.account import myself
from deploy.stack.child import Child, PartFailedError
from deploy.stack.ports import LOOPBACK, free_port, is_free
from deploy.stack.sip_trace import Invite, invites
from deploy.stack.tones import SEAT_HERTZ, write_tone

_SCENARIO = Path(__file__).with_name("seats.xml")
_TALK_SECONDS = 120
_BRIEF_SECONDS = 9.0
_EXPIRES = 60
_AGAIN = 20.0
"""Seconds between registrations: a switch that has forgotten them is told again."""
_PATIENCE = 2.0


class Seats:
    """The seats of `switch`, all in one process. Raises PartMissingError, PartFailedError."""

    def __init__(self, directory: Path, switch: PbxSettings, *, talk: float = 60.0) -> None:
        self.directory = directory.absolute()
        self.port = free_port(2)
        self._switch = switch
        self._talk = talk
        self._media_port = free_port(4)
        self._program = packages.sipp_for_keypresses()
        self._child: Child | None = None
        self._registered = threading.Event()
        self._over = threading.Event()
        self._registrar: threading.Thread | None = None

    @property
    def trace(self) -> Path:
        """Every SIP message they received and sent, as SIPp writes it; registrations are not in it."""
        return self.directory / "messages.log"

    @property
    def child(self) -> Child:
        """The running process; raises PartFailedError before the first `start()`."""
        if self._child is None:
            raise PartFailedError("the seats were not started")
        return self._child

    def invites(self) -> list[Invite]:
        """Every call that reached a seat so far, as it was on the wire."""
        return invites(self.trace)

    def start(self) -> None:
        """Start them and return when they can be called."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        tone = self.directory / "voice.pcap"
        write_tone(tone, SEAT_HERTZ, _TALK_SECONDS)
        scenario = self.directory / "seats.xml"
        text = _SCENARIO.read_text("utf-8").replace("TONE", str(tone))
        for name, seconds in (("BRIEF", _BRIEF_SECONDS), ("TALK", self._talk)):
            text = text.replace(name, str(round(seconds * 1000)))
        scenario.write_text(text, "utf-8")
        command = [str(self._program), "-sf", str(scenario), "-i", LOOPBACK, "-p", str(self.port), "-nostdin"]
        command += ["-mi", LOOPBACK, "-mp", str(self._media_port)]
        command += ["-trace_msg", "-message_file", str(self.trace), "-message_overwrite", "false"]
        self._child = Child(
            "SIPp seats",
            command,
            log=self.directory / "sipp.log",
            account=myself(),  # speech is sent over a raw socket
            cwd=self.directory,
            discard_output=True,  # a full-screen display
        )
        self._child.spawn()
        if self._registrar is None:
            self._over.clear()
            self._registrar = threading.Thread(target=self._keep_registered, name="seats", daemon=True)
            self._registrar.start()

    def wait_ready(self, deadline: float = 60.0) -> None:
        self.child.wait_until(lambda: self._registered.is_set() and not is_free(self.port), deadline)

    def stop(self) -> None:
        """End them; the switch finds out when it next calls one."""
        self._over.set()
        if self._registrar is not None:
            self._registrar.join()
            self._registrar = None
        self._registered.clear()
        if self._child is not None:
            self._child.stop(patience=1.0)

    def kill(self) -> None:
        """SIGKILL: calls to them are answered by nobody."""
        self.child.kill()

    def _keep_registered(self) -> None:
        while not self._over.is_set():
            done = [self._register(name, secret) for name, secret in self._switch.seats]
            if all(done):
                self._registered.set()
            self._over.wait(_AGAIN if all(done) else _PATIENCE / 4)

    def _register(self, name: str, secret: str) -> bool:
        user, uri = seat_user(name), f"sip:{self._switch.sip_host}:{self._switch.sip_port}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(_PATIENCE)
            try:
                wire.connect((self._switch.sip_host, self._switch.sip_port))
                challenge = self._ask(wire, user, uri, 1, "")
                fields = challenged(challenge)
                proof = authorization(user, secret, "REGISTER", uri, fields)
                answer = self._ask(wire, user, uri, 2, proof)
            except OSError:
                return False  # the switch is not there yet, or not any more
        return answer.startswith("SIP/2.0 200")

    def _ask(self, wire: socket.socket, user: str, uri: str, number: int, authorization: str) -> str:
        here = "{}:{}".format(*wire.getsockname())
        lines = [
            f"REGISTER {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{secrets.token_hex(8)};rport",
            f"From: <sip:{user}@{self._switch.sip_host}>;tag={secrets.token_hex(4)}",
            f"To: <sip:{user}@{self._switch.sip_host}>",
            f"Call-ID: {user}-{self.port}",
            f"CSeq: {number} REGISTER",
            f"Contact: <sip:{user}@{LOOPBACK}:{self.port}>",
            f"Expires: {_EXPIRES}",
            "Max-Forwards: 70",
            *([f"Authorization: {authorization}"] if authorization else []),
            "Content-Length: 0",
        ]
        wire.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        return wire.recv(65_536).decode("utf-8", "replace")


def challenged(answer: str) -> dict[str, str]:
    """What a 401 asks for: realm, nonce, opaque."""
    return dict(re.findall(r'(realm|nonce|opaque)="([^"]*)"', answer))


def authorization(
    user: str,
    secret: str,
    method: str,
    uri: str,
    challenge: Mapping[str, str],
    *,
    cnonce: str = "",
    count: str = "00000001",
) -> str:
    """The answer to a challenge, as the value of the header: the digest of RFC 2617 with qop=auth."""
    realm, nonce, own = challenge.get("realm", ""), challenge.get("nonce", ""), cnonce or secrets.token_hex(8)
    proof = _md5(f"{_md5(f'{user}:{realm}:{secret}')}:{nonce}:{count}:{own}:auth:{_md5(f'{method}:{uri}')}")
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{proof}", '
        f'algorithm=MD5, qop=auth, nc={count}, cnonce="{own}", opaque="{challenge.get("opaque", "")}"'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
