"""Judging a recording as Asterisk leaves it: is it whole, and is it the sound of this call? Pure."""

import struct
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 44
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_FORMAT_BYTES: Final = 16
_PCM: Final = 1
_RATES: Final = frozenset({8000, 16000})
_TOO_LONG_SECONDS: Final = 15.0
"""How much longer than its call a recording may be: calls whose end was noticed before Asterisk's own."""
_UNTIL_BEGUN_SECONDS: Final = 5.0


class WavFault(Exception):
    """A file is no whole recording; `reason` is a lowercase code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Wav:
    """The format of a recording: samples a second, channels, and bytes of sound, 16 bits a sample.

    It is not `whole` when its header tells another length: Asterisk writes that when it closes the file.
    """

    rate: int
    channels: int
    sound_bytes: int
    whole: bool

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.sound_bytes / (2 * self.channels * self.rate)

    @property
    def format(self) -> str:
        """As the catalogue names it: coding, samples a second, channels."""
        return f"wav/pcm_s16le/{self.rate}/{self.channels}"


def read_header(head: bytes, size: int) -> Wav:
    """Read the first 44 bytes of a file of `size` bytes.

    Raises WavFault: `empty` (no sound), `no_wav`, `format` (not 16-bit PCM, 8 or 16 kHz, mono or stereo).
    """
    if size < HEADER_BYTES:
        raise WavFault("no_wav" if size else "empty")
    riff, riff_size, wave, fmt, fmt_size, coding, channels, rate, _, block, bits, data, data_size = (
        _HEADER.unpack(head[:HEADER_BYTES])
    )
    if (riff, wave, fmt, data) != (b"RIFF", b"WAVE", b"fmt ", b"data") or fmt_size != _FORMAT_BYTES:
        raise WavFault("no_wav")
    if coding != _PCM or rate not in _RATES or channels not in {1, 2} or (bits, block) != (16, 2 * channels):
        raise WavFault("format")
    if size == HEADER_BYTES:
        raise WavFault("empty")
    sound = size - HEADER_BYTES
    return Wav(rate, channels, sound, whole=(data_size, riff_size) == (sound, size - 8) and not sound % block)


def write_header(rate: int, sound_bytes: int) -> bytes:
    """Return the header of a mono recording, as Asterisk writes it."""
    return _HEADER.pack(
        *(b"RIFF", HEADER_BYTES - 8 + sound_bytes, b"WAVE"),
        *(b"fmt ", 16, _PCM, 1, rate, 2 * rate, 2, 16),
        *(b"data", sound_bytes),
    )


def length_fault(wav: Wav, call_seconds: float) -> str | None:
    """Return `too_long` or `too_short` for a recording that is not its call's alone, or not all of it.

    Where neither end sends anything Asterisk writes nothing, so a recording may be shorter than its call; not
    by half.
    """
    if wav.seconds > call_seconds + _TOO_LONG_SECONDS:
        return "too_long"
    if wav.seconds < call_seconds / 2 - _UNTIL_BEGUN_SECONDS:
        return "too_short"
    return None
