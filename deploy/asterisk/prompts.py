"""The prompts of a switch of our own: made once by `services.outbound.prompts`, and cached."""

import hashlib
from pathlib import Path

from deploy.stack import packages
from deploy.stack.cache import built_once
from services.outbound.prompts import GREETING, make, shelf
from services.outbound.prompts.make import PromptError, Voice

__all__ = ["SCRIPTS", "PromptError", "Voice", "check", "prompt_directory"]

SCRIPTS = {1: GREETING}
"""The contract's own script: what a new installation can say."""
_RECIPE = "5"  # part of the cache key: change it with anything in `make` that changes the audio


def prompt_directory(voice: Voice | None = None, home: Path | None = None) -> Path:
    """Cached directory with every prompt in every format; made on first use.

    Raises PromptError, and PartMissingError when a program it needs cannot be had.
    """
    voice = voice or Voice()
    return built_once(f"prompts-{_key(voice)}", lambda target: _build(voice, target), home)


def check(directory: Path) -> None:
    """Raises PromptError naming the prompts that are missing, silent or not what the manifest says."""
    found = shelf.check(directory, SCRIPTS)
    if found:
        raise PromptError(f"{directory}: " + "; ".join(f"{each.name} {each.fault}" for each in found))


def _key(voice: Voice) -> str:
    wanted = [(prefix, sorted(texts.items())) for prefix, _, texts in shelf.shelves(Path(), SCRIPTS)]
    digest = hashlib.sha256(repr((_RECIPE, voice.command, wanted)).encode())
    if voice.studio is not None:
        for path in sorted(voice.studio.glob("*.wav")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(voice: Voice, target: Path) -> None:
    print("making the spoken prompts (once) ...", flush=True)
    packages.sox()
    if voice.studio is None and voice.command.startswith("espeak-ng "):
        packages.espeak()
    for _, directory, texts in shelf.shelves(target, SCRIPTS):
        make.make(texts, directory, voice)
    target.chmod(0o755)
    check(target)
