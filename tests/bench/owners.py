"""Car owners for load: they answer and press at once, so that the measured time is ours and not theirs."""

import struct
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.stack import packages
from deploy.stack.account import myself
from deploy.stack.child import Child, PartFailedError
from deploy.stack.ports import LOOPBACK, free_port, is_free

KEY_SECONDS = 0.1
"""How long a key is held. Only its release completes it (RFC 4733), and Asterisk wants at least 80 ms."""
_SCENARIO = Path(__file__).with_name("owners.xml")
_PACKET_SECONDS = 0.02
_REPEATS = 3
_RATE = 8000
_EVENT_PAYLOAD = 101


@dataclass(frozen=True, slots=True)
class CallSeen:
    """One call as its owner saw it; epoch seconds. `keys_down`: each time the key was pressed."""

    callee: str
    invited: float
    keys_down: tuple[float, ...] = ()

    def key_up_before(self, moment: float) -> float:
        """When the press that was heard at `moment` ended."""
        downs = [down for down in self.keys_down if down < moment] or self.keys_down[:1]
        return downs[-1] + KEY_SECONDS


class BenchOwners:
    """A SIPp process. Raises PartMissingError, PartFailedError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._program = packages.sipp_for_keypresses()
        self.port = free_port(2)
        self._media_port = free_port(4)
        self._log = self._directory / "calls.log"
        self._read = 0
        self._child: Child | None = None

    @property
    def uri(self) -> str:
        """Trunk URI that leads to them."""
        return f"sip:{LOOPBACK}:{self.port}"

    @property
    def child(self) -> Child:
        if self._child is None:
            raise PartFailedError("the owners were not started")
        return self._child

    def start(self) -> None:
        """Start them and return when they can be called."""
        self._directory.mkdir(parents=True, exist_ok=True)
        text = _SCENARIO.read_text("utf-8")
        # A key with the RTP timestamp of the one before is taken for its repetition: press in turns.
        for key, turn in (("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")):
            capture = self._directory / f"press{key}{turn}.pcap"
            capture.write_bytes(keypress(int(key), timestamp=1000 if turn == "a" else 100_000))
            text = text.replace(f"PRESS{key}{turn}", str(capture))
        scenario = self._directory / "owners.xml"
        scenario.write_text(text, "utf-8")
        command = [str(self._program), "-sf", str(scenario), "-i", LOOPBACK, "-p", str(self.port), "-nostdin"]
        command += ["-mi", LOOPBACK, "-mp", str(self._media_port), "-deadcall_wait", "0"]
        command += ["-trace_logs", "-log_file", str(self._log), "-buff_size", "1000000"]
        self._child = Child(
            "SIPp",
            command,
            log=self._directory / "sipp.log",
            account=myself(),
            cwd=self._directory,
            discard_output=True,
        )
        self._child.spawn()
        self._child.wait_until(lambda: not is_free(self.port), 15.0)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(patience=1.0)

    def take(self) -> dict[str, list[CallSeen]]:
        """The calls that came since the last `take`, by called number. All of them must be over."""
        with self._log.open("r", encoding="ascii", errors="replace") as file:
            file.seek(self._read)
            text = file.read()
            self._read = file.tell()
        return read_calls(text)


def read_calls(text: str) -> dict[str, list[CallSeen]]:
    """The calls of a log; a number that was rung twice has two."""
    calls: dict[str, list[CallSeen]] = {}
    for line in text.splitlines():
        kind, _date, _time, epoch, address = line.split()
        callee = address.removeprefix("sip:").removesuffix("@")
        seen = calls.setdefault(callee, [])
        if kind == "invite":
            seen.append(CallSeen(callee, float(epoch)))
        else:
            seen[-1] = replace(seen[-1], keys_down=(*seen[-1].keys_down, float(epoch)))
    return calls


def keypress(digit: int, timestamp: int) -> bytes:
    """A capture (pcap, Ethernet) of one key held for KEY_SECONDS, as RFC 4733 events."""
    steps = round(KEY_SECONDS / _PACKET_SECONDS)
    packets = [
        (step * _PACKET_SECONDS, _event(digit, timestamp, number, number, first=step == 0, last=False))
        for step, number in enumerate(range(1, steps + 1))
    ]
    packets += [(KEY_SECONDS, _event(digit, timestamp, steps + 1, steps, first=False, last=True))] * _REPEATS
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for at, packet in packets:
        frame = _ethernet(packet)
        # Not from zero: SIPp would take the first pause for no pause.
        capture += struct.pack("<IIII", 1, round(at * 1_000_000), len(frame), len(frame)) + frame
    return capture


def _event(digit: int, timestamp: int, sequence: int, step: int, *, first: bool, last: bool) -> bytes:
    duration = round(step * _PACKET_SECONDS * _RATE)
    marker = 0x80 if first else 0
    header = struct.pack(">BBHII", 0x80, marker | _EVENT_PAYLOAD, sequence, timestamp, 0x110)
    return header + struct.pack(">BBH", digit, 0x80 | 10 if last else 10, duration)


def _ethernet(payload: bytes) -> bytes:
    """SIPp takes the payload only; addresses and checksums are its own."""
    udp = struct.pack(">HHHH", 6000, 6002, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    return b"\0" * 12 + b"\x08\x00" + ip + udp
