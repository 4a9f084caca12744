"""The audio files an owner hears, made from the catalogue in `services.outbound.prompts`.

A voice is a text-to-speech command or a directory of studio recordings. Each prompt becomes 8 kHz mono A-law
and µ-law without leading or trailing silence, so that a call needs no transcoding to play it. Missing and
silent prompts are found here, because a caller who hears nothing still counts as answered.
"""

import array
import hashlib
import shlex
import subprocess
import sys
import tempfile
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.stack import packages
from deploy.stack.cache import built_once
from services.common.speech import CHARACTERS, DESK_PHRASES
from services.outbound.prompts import SEGMENTS

ESPEAK = "espeak-ng -v cmn -s 175 -w {wav} {text}"
FORMATS = ("alaw", "ulaw")
_RECIPE = "3"  # part of the cache key: change it with anything below that changes the audio
_SAMPLE_RATE = 8000
_SHORTEST = 0.04  # seconds; the shortest character is about 0.15 s
_QUIETEST = 1000  # peak of 16-bit samples; speech at -3 dB peaks at 23 000
_SHAPE = [
    "gain",
    "-n",
    "-3",
    "silence",
    "1",
    "0.01",
    "0.3%",
    "reverse",
    "silence",
    "1",
    "0.01",
    "0.3%",
    "reverse",
]


class PromptError(RuntimeError):
    """A prompt cannot be made, is missing or is silent; the message names it."""


@dataclass(frozen=True)
class Voice:
    """Who speaks: a command with `{text}` and `{wav}` (no shell runs it), or studio files `<prompt>.wav`."""

    command: str = ESPEAK
    studio: Path | None = None


def catalogue() -> dict[str, str]:
    """Prompt file name without extension → the text to read."""
    greeting = {f"script-1/{name}": text for name, text in SEGMENTS.items() if name.startswith("greeting")}
    shared = {name: text for name, text in SEGMENTS.items() if not name.startswith("greeting")}
    characters = {f"c-{token}": text for token, text in CHARACTERS.items()}
    return {**greeting, **shared, **DESK_PHRASES, **characters}


def prompt_directory(voice: Voice | None = None, home: Path | None = None) -> Path:
    """Cached directory with every prompt of the catalogue in every format; made on first use.

    Raises PromptError, and PartMissingError when a program it needs cannot be had.
    """
    voice = voice or Voice()
    return built_once(f"prompts-{_key(voice)}", lambda target: _build(voice, target), home)


def check(directory: Path) -> None:
    """Raises PromptError naming the prompts that are missing or too short to hold speech."""
    shortest = int(_SHORTEST * _SAMPLE_RATE)  # A-law and µ-law have one byte a sample
    files = [directory / f"{name}.{extension}" for name in catalogue() for extension in FORMATS]
    bad = [path.name for path in files if not path.is_file() or path.stat().st_size < shortest]
    if bad:
        raise PromptError(f"{directory}: missing or empty: {', '.join(bad)}")


def _key(voice: Voice) -> str:
    digest = hashlib.sha256(repr((_RECIPE, voice.command, sorted(catalogue().items()))).encode())
    if voice.studio is not None:
        for name in sorted(catalogue()):
            digest.update(_studio_file(voice.studio, name).read_bytes())
    return digest.hexdigest()[:16]


def _studio_file(studio: Path, name: str) -> Path:
    path = studio / f"{Path(name).name}.wav"
    if not path.is_file():
        raise PromptError(f"studio recording {path} is missing")
    return path


def _build(voice: Voice, target: Path) -> None:
    print("making the spoken prompts (once) ...", flush=True)
    (target / "script-1").mkdir(mode=0o755)
    with tempfile.TemporaryDirectory() as work:
        for name, text in catalogue().items():
            spoken = Path(work) / f"{Path(name).name}.wav"
            source = (
                _studio_file(voice.studio, name)
                if voice.studio
                else _speak(voice.command, name, text, spoken)
            )
            _convert(name, source, target)
    target.chmod(0o755)
    check(target)


def _speak(command: str, name: str, text: str, wav: Path) -> Path:
    words = shlex.split(command)
    if not {"{text}", "{wav}"} <= set(words):
        raise PromptError("the text-to-speech command needs the words {text} and {wav}")
    if words[0] == "espeak-ng":
        words[0] = str(packages.espeak())
    values: Mapping[str, str] = {"{text}": text, "{wav}": str(wav)}
    _run(name, [values.get(word, word) for word in words])
    return wav


def _convert(name: str, source: Path, target: Path) -> None:
    sox = str(packages.sox())
    with tempfile.TemporaryDirectory() as work:
        plain = Path(work) / "plain.wav"
        shape = ["-r", str(_SAMPLE_RATE), "-c", "1", "-b", "16", "-e", "signed-integer"]
        _run(name, [sox, "-R", str(source), *shape, str(plain), *_SHAPE])
        _must_be_audible(name, plain)
        for extension, encoding in zip(FORMATS, ("a-law", "u-law"), strict=True):
            _run(name, [sox, str(plain), "-t", "raw", "-e", encoding, str(target / f"{name}.{extension}")])


def _must_be_audible(name: str, path: Path) -> None:
    with wave.open(str(path)) as sound:
        samples = array.array("h", sound.readframes(sound.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    if len(samples) < _SHORTEST * _SAMPLE_RATE or max(map(abs, samples)) < _QUIETEST:
        raise PromptError(f"prompt {name} is silent")


def _run(name: str, command: list[str]) -> None:
    try:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PromptError(f"prompt {name}: {command[0]}: {error.strerror}") from error
    if run.returncode != 0:
        raise PromptError(f"prompt {name}: {command[0]} failed: {run.stderr.strip()[-400:]}")
