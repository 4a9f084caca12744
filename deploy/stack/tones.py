"""A voice that can be told apart: an A-law tone as a packet capture that SIPp can play."""

import math
import struct
from pathlib import Path
from typing import Final

OWNER_HERTZ: Final = 1000
"""What the test owner who talks sounds like."""
SEAT_HERTZ: Final = 700
"""What the test seats sound like."""

_RATE = 8000
_SAMPLES = 160  # 20 ms, as in the SDP
_AMPLITUDE = 8000
_ALAW = 8
_ETHERNET_IPV4_UDP = 14 + 20 + 8


def write_tone(path: Path, hertz: int, seconds: float) -> None:
    """Write a capture of RTP packets with a sine of `hertz`; SIPp puts its own addresses in."""
    packets = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number in range(int(seconds * _RATE / _SAMPLES)):
        rtp = struct.pack("!BBHII", 0x80, _ALAW, number & 0xFFFF, number * _SAMPLES, 0x5EA7) + bytes(
            _alaw(round(_AMPLITUDE * math.sin(2 * math.pi * hertz * sample / _RATE)))
            for sample in range(number * _SAMPLES, (number + 1) * _SAMPLES)
        )
        ethernet = bytes(12) + b"\x08\x00"
        ip = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 28 + len(rtp), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
        )
        udp = struct.pack("!HHHH", 6000, 6000, 8 + len(rtp), 0)
        length = _ETHERNET_IPV4_UDP + len(rtp)
        at = number * 20_000
        packets.append(struct.pack("<IIII", at // 1_000_000, at % 1_000_000, length, length))
        packets.append(ethernet + ip + udp + rtp)
    path.write_bytes(b"".join(packets))


def _alaw(sample: int) -> int:
    """One 16-bit sample by ITU-T G.711."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = min(abs(sample), 32_635) >> 3
    exponent = max(0, magnitude.bit_length() - 5)
    mantissa = (magnitude >> max(1, exponent)) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55
