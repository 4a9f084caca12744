"""The prompts on the telephone system: their manifest, and whether the files are what it says."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.outbound.prompts.sound import is_audible
from services.outbound.prompts.texts import shared_texts
from services.outbound.scripts.wording import segments

MANIFEST: Final = "manifest.json"
FORMATS: Final[Mapping[str, int]] = {"alaw": 8000, "ulaw": 8000, "sln16": 32_000}
"""File extension → bytes a second: 8 kHz A-law and µ-law for the trunk, 16 kHz linear for wideband phones."""
SHORTEST_SECONDS: Final = 0.04
SECONDS_A_CHARACTER: Final = 0.04
"""Nobody speaks faster: what is shorter was cut off."""

Fault = Literal["missing", "silent", "truncated", "changed", "other_text", "unreadable"]
REASONS: Final[Mapping[Fault, str]] = {
    "missing": "文件缺失",
    "silent": "没有声音",
    "truncated": "文件不完整",
    "changed": "校验和与清单不符",
    "other_text": "内容与文案不符",
    "unreadable": "无法读取",
}


class PromptFile(BaseModel):
    """One file of a prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str
    size: int


class Prompt(BaseModel):
    """A prompt as it was made: `seconds` long, its speech at `level` dBov, read by `voice`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    voice: str
    seconds: float
    level: float
    files: dict[str, PromptFile]
    """By extension."""


class Manifest(BaseModel):
    """What lies in one directory. `version` is that of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    made_at: str = ""
    loudness: str = ""
    prompts: dict[str, Prompt] = {}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a prompt; `name` is its path below the prompt directory, without extension."""

    name: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.name}：{REASONS[self.fault]}"


def read_manifest(directory: Path) -> Manifest:
    """Return a directory's manifest; an empty one when there is none or it cannot be understood."""
    try:
        return Manifest.model_validate_json((directory / MANIFEST).read_bytes())
    except (OSError, ValidationError, json.JSONDecodeError):
        return Manifest()


def shelves(directory: Path, scripts: Mapping[int, str]) -> Iterable[tuple[str, Path, dict[str, str]]]:
    """Yield what there has to be: prefix, directory and texts of the shared prompts and of each greeting."""
    yield "", directory, shared_texts()
    for version, greeting in scripts.items():
        yield f"script-{version}/", directory / f"script-{version}", segments(greeting)


def check(directory: Path, scripts: Mapping[int, str]) -> list[Finding]:
    """Return what is wrong with the shared prompts and the greetings of `scripts` (version → greeting).

    Reads every file: some 10 MB.
    """
    found: list[Finding] = []
    for prefix, shelf, texts in shelves(directory, scripts):
        manifest = read_manifest(shelf)
        for name, text in texts.items():
            fault = _fault(shelf, name, text, manifest.prompts.get(name))
            if fault is not None:
                found.append(Finding(prefix + name, fault))
    return found


def checksums(directory: Path, version: int) -> dict[str, str]:
    """Return the checksums of a script's own prompts: what was approved together with its text (B3)."""
    prompts = read_manifest(directory / f"script-{version}").prompts
    return {
        f"{name}.{extension}": file.sha256
        for name, prompt in prompts.items()
        for extension, file in prompt.files.items()
    }


def fingerprint(directory: Path, scripts: Mapping[int, str]) -> frozenset[tuple[str, int, int]]:
    """Return sizes and times of all files: when they are the same, `check` need not read them again."""
    seen = set()
    for prefix, shelf, _ in shelves(directory, scripts):
        try:
            for path in shelf.iterdir():
                status = path.stat()
                seen.add((prefix + path.name, status.st_size, status.st_mtime_ns))
        except OSError:
            seen.add((prefix, -1, -1))
    return frozenset(seen)


def _fault(shelf: Path, name: str, text: str, listed: Prompt | None) -> Fault | None:
    for extension, rate in FORMATS.items():
        try:
            data = (shelf / f"{name}.{extension}").read_bytes()
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"
        if not data:
            return "silent"
        if listed is None:
            return "other_text"
        file = listed.files.get(extension)
        if file is None:
            return "changed"
        seconds = len(data) / rate
        if len(data) < file.size or seconds < max(SHORTEST_SECONDS, SECONDS_A_CHARACTER * len(text)):
            return "truncated"
        if not is_audible(data, extension):
            return "silent"
        if hashlib.sha256(data).hexdigest() != file.sha256:
            return "changed"
    if listed is None or listed.text != text:
        return "other_text"
    return None
