"""Prompts made from a voice: a text-to-speech command, or studio recordings.

Each becomes 8 kHz A-law and µ-law and 16 kHz linear, mono, without leading or trailing silence and at one
loudness, so that a call needs no transcoding and a greeting made of pieces sounds like one sentence.
"""

import hashlib
import math
import shlex
import shutil
import subprocess  # nosec B404 - speech and sound programs, without a shell
import tempfile
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.outbound.prompts import sound
from services.outbound.prompts.shelf import (
    FORMATS,
    MANIFEST,
    SECONDS_A_CHARACTER,
    SHORTEST_SECONDS,
    Manifest,
    Prompt,
    PromptFile,
    read_manifest,
)

LOUDNESS: Final = (
    f"active speech {sound.TARGET_DBOV:g} dBov (20 ms frames within {sound.MARGIN_DB:g} dB, as ITU-T P.56), "
    f"peak at most {sound.CEILING_DBOV:g} dBov"
)
_RATE: Final = 16_000
_TRIM: Final = ["gain", "-n", "-3", *(["silence", "1", "0.01", "0.3%", "reverse"] * 2)]
_ENCODINGS: Final[Mapping[str, list[str]]] = {
    "alaw": ["-r", "8000", "-e", "a-law"],
    "ulaw": ["-r", "8000", "-e", "u-law"],
    "sln16": ["-r", str(_RATE), "-e", "signed-integer", "-b", "16", "-L"],
}
_SPEAK_SECONDS: Final = 60.0


class PromptError(RuntimeError):
    """A prompt cannot be made; the message names it and the remedy."""


@dataclass(frozen=True)
class Voice:
    """Who speaks: a command with `{text}` and `{wav}` (no shell runs it), or studio files `<prompt>.wav`."""

    command: str = "espeak-ng -v cmn -s 175 -w {wav} {text}"
    studio: Path | None = None

    @property
    def name(self) -> str:
        """What the manifest says of it."""
        return "studio" if self.studio is not None else self.command

    def speak(self, name: str, text: str, wav: Path) -> Path:
        """Return a file with the prompt spoken. Raises PromptError."""
        if self.studio is not None:
            recorded = self.studio / f"{name}.wav"
            if not recorded.is_file():
                raise PromptError(f"studio recording {recorded} is missing")
            return recorded
        words = shlex.split(self.command)
        if not {"{text}", "{wav}"} <= set(words):
            raise PromptError("the text-to-speech command needs the words {text} and {wav}")
        values = {"{text}": text, "{wav}": str(wav)}
        _run(name, [values.get(word, word) for word in words])
        return wav


def make(
    texts: Mapping[str, str], target: Path, voice: Voice, done: Callable[[str], None] = lambda name: None
) -> None:
    """Make prompts (name → text) in `target`, replacing those of the same names; all of them, or none.

    `done` is told each name. Raises PromptError.
    """
    target.mkdir(parents=True, exist_ok=True, mode=0o755)
    with tempfile.TemporaryDirectory(dir=target, prefix=".making-") as directory:
        work = Path(directory)
        made = {}
        for name, text in texts.items():
            made[name] = _make(name, text, voice, work)
            done(name)
        manifest = Manifest(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            loudness=LOUDNESS,
            prompts=read_manifest(target).prompts | made,
        )
        (work / MANIFEST).write_text(manifest.model_dump_json(indent=1), "utf-8")
        # The manifest comes last: a stop in between leaves checksums that do not fit, and is found out.
        names = [f"{name}.{extension}" for name in texts for extension in FORMATS]
        for name in (*names, MANIFEST):
            (work / name).chmod(0o644)
            (work / name).replace(target / name)


def _make(name: str, text: str, voice: Voice, work: Path) -> Prompt:
    source = voice.speak(name, text, work / "spoken.wav")
    plain = work / "plain.wav"
    shape = ["-r", str(_RATE), "-c", "1", "-b", "16", "-e", "signed-integer"]
    _run(name, ["sox", "-R", str(source), *shape, str(plain), *_TRIM])
    try:
        samples, rate = sound.read_wav(plain)
    except (wave.Error, EOFError, OSError) as error:
        raise PromptError(f"prompt {name}: {error}") from error
    if sound.peak(samples) < sound.AUDIBLE_PEAK:
        raise PromptError(f"prompt {name} is silent")
    seconds = len(samples) / rate
    if seconds < max(SHORTEST_SECONDS, SECONDS_A_CHARACTER * len(text)):
        raise PromptError(f"prompt {name} lasts {seconds:.2f} s: too short for its {len(text)} characters")
    change = sound.gain(samples, rate)
    level = sound.active_level(samples, rate) + change
    files = {}
    for extension, encoding in _ENCODINGS.items():
        path = work / f"{name}.{extension}"
        _run(
            name, ["sox", "-R", "-G", str(plain), "-t", "raw", *encoding, str(path), "gain", f"{change:.2f}"]
        )
        data = path.read_bytes()
        files[extension] = PromptFile(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    spoken = Prompt(
        text=text, voice=voice.name, seconds=round(seconds, 3), level=_rounded(level), files=files
    )
    (work / "spoken.wav").unlink(missing_ok=True)
    return spoken


def _rounded(level: float) -> float:
    return round(level, 1) if math.isfinite(level) else sound.CEILING_DBOV


def _run(name: str, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        raise PromptError(f"prompt {name}: {command[0]} is missing; on Debian: apt-get install {command[0]}")
    try:
        run = subprocess.run(  # noqa: S603  # nosec B603 - an administrator's command, no shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SPEAK_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PromptError(f"prompt {name}: {command[0]}: {error}") from error
    if run.returncode != 0:
        raise PromptError(f"prompt {name}: {command[0]} failed: {run.stderr.strip()[-400:]}")
