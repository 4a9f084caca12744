"""The sandbox's recordings: a tone as long as the call, left where Asterisk would leave the sound."""

import array
import math
import re
from pathlib import Path
from typing import Final

import structlog

from services.outbound.recordings.wav import write_header

log = structlog.get_logger(__name__)

RATE: Final = 8000
_ATTEMPT: Final = re.compile("[0-9a-f]{32}")
_HERTZ: Final = 440
_LOUDNESS: Final = 6000
_PERIOD: Final = array.array(
    "h", (round(_LOUDNESS * math.sin(2 * math.pi * _HERTZ * n / RATE)) for n in range(RATE))
).tobytes()
"""One second, after which the tone is where it began."""


class Recorder:
    """Writes recordings into a spool."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def prepare(self) -> None:
        """Make the spool."""
        self._spool.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, attempt_id: str, seconds: float) -> None:
        """Leave the recording of a call that is over; one that cannot be written is lost, as in life."""
        if not _ATTEMPT.fullmatch(attempt_id):
            return
        sound = 2 * int(seconds * RATE)
        whole, rest = divmod(sound, len(_PERIOD))
        try:
            with (self._spool / f"{attempt_id}.wav").open("wb") as file:
                file.write(write_header(RATE, sound))
                file.writelines([_PERIOD] * whole)
                file.write(_PERIOD[:rest])
        except OSError as error:
            log.warning("sandbox_recording_lost", attempt=attempt_id, error=repr(error))
