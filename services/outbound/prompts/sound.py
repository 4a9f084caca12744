"""Samples of speech, measured: how loud it is while somebody speaks, and whether anything is to be heard.

The level is that of active speech, in dB below full scale (dBov), after the idea of ITU-T P.56: pauses do
not count. P.56 finds the active parts with an envelope and a hangover; here they are frames of 20 ms that are
no more than 15.9 dB, P.56's margin, below the level that results. On short prompts the two differ by tenths.
"""

import array
import math
import operator
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TARGET_DBOV: Final = -23.0
"""Active speech level of every prompt: 3 dB above the usual −26 of test speech, and espeak-ng's peaks fit."""
CEILING_DBOV: Final = -3.0
"""Highest peak; a voice that would pass it stays below the target instead of being clipped."""
MARGIN_DB: Final = 15.9
_FRAME_SECONDS: Final = 0.02
_FULL: Final = 32_768.0
AUDIBLE_PEAK: Final = 1000
"""Peak of 16-bit samples below which a prompt is silent; normalised speech peaks at 8,000 and more."""


def read_wav(path: Path) -> tuple[Sequence[int], int]:
    """Return the samples of a 16-bit mono file, and its rate. Raises wave.Error, EOFError or OSError."""
    with wave.open(str(path)) as sound:
        if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
            raise wave.Error("not 16-bit mono")
        samples = array.array("h", sound.readframes(sound.getnframes()))
        if sys.byteorder == "big":
            samples.byteswap()
        return samples, sound.getframerate()


def peak(samples: Sequence[int]) -> int:
    """Return the greatest magnitude."""
    return max(map(abs, samples), default=0)


def active_level(samples: Sequence[int], rate: int) -> float:
    """Return the level of active speech in dBov; minus infinity for silence."""
    size = max(1, round(rate * _FRAME_SECONDS))
    frames = [samples[at : at + size] for at in range(0, len(samples), size)]
    powers = [sum(map(operator.mul, frame, frame)) / len(frame) / _FULL**2 for frame in frames]
    active = [power for power in powers if power > 0]
    while active:
        mean = sum(active) / len(active)
        gate = mean / 10 ** (MARGIN_DB / 10)
        kept = [power for power in active if power >= gate]
        if len(kept) == len(active):
            return 10 * math.log10(mean)
        active = kept
    return -math.inf


def gain(samples: Sequence[int], rate: int) -> float:
    """Return the gain in dB that brings speech to the target, or as near as its peaks allow."""
    wanted = TARGET_DBOV - active_level(samples, rate)
    allowed = CEILING_DBOV - 20 * math.log10(max(1, peak(samples)) / _FULL)
    return min(wanted, allowed)


def _alaw(code: int) -> int:
    code ^= 0x55
    magnitude, segment = (code & 0x0F) << 4, (code & 0x70) >> 4
    return magnitude + 8 if segment == 0 else (magnitude + 0x108) << (segment - 1)


def _ulaw(code: int) -> int:
    code = ~code & 0xFF
    return ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84


_MAGNITUDES: Final = {
    "alaw": [_alaw(code) for code in range(256)],
    "ulaw": [_ulaw(code) for code in range(256)],
}


def is_audible(data: bytes, encoding: str) -> bool:
    """Tell whether a prompt's bytes, `alaw`, `ulaw` or `sln16`, hold anything that can be heard (G.711)."""
    if encoding in _MAGNITUDES:
        table = _MAGNITUDES[encoding]
        return max((table[code] for code in set(data)), default=0) >= AUDIBLE_PEAK
    samples = array.array("h", data[: len(data) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return peak(samples) >= AUDIBLE_PEAK
