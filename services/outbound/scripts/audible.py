"""Whether what a script says can be heard: the prompts, looked at again when a file has changed (B3)."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from services.outbound.prompts import shelf
from services.outbound.prompts.shelf import Finding

NOT_SET: Final = "MOVECAR_PROMPTS_DIR is not set: nobody can tell whether the prompts can be heard"
_NAMED: Final = 5


class Audible:
    """Looks at the prompts in `directory`; `by_itself` is a PBX that reads text and needs none."""

    def __init__(self, directory: Path | None, *, by_itself: bool) -> None:
        self._directory = directory
        self._needed = directory is not None or not by_itself
        self._last: tuple[object, list[Finding]] | None = None

    @property
    def unset(self) -> bool:
        """Whether prompts are needed and nobody said where they are."""
        return self._needed and self._directory is None

    async def findings(self, scripts: Mapping[int, str]) -> list[Finding]:
        """Return what is wrong with the prompts of `scripts` (version → greeting); files are read again only
        when one has changed."""
        if self._directory is None:
            return []
        return await asyncio.to_thread(self._look, self._directory, dict(scripts))

    def _look(self, directory: Path, scripts: Mapping[int, str]) -> list[Finding]:
        seen = (shelf.fingerprint(directory, scripts), tuple(scripts.items()))
        if self._last is None or self._last[0] != seen:
            self._last = (seen, shelf.check(directory, scripts))
        return self._last[1]

    async def checksums(self, version: int) -> dict[str, str]:
        """Return the checksums of a script's own prompts; none where the PBX reads text."""
        if self._directory is None:
            return {}
        return await asyncio.to_thread(shelf.checksums, self._directory, version)


def summary(findings: list[Finding]) -> str:
    """Return the findings in one line, the first few by name."""
    named = ", ".join(f"{each.name} ({each.fault})" for each in findings[:_NAMED])
    more = len(findings) - _NAMED
    return f"prompts: {named}" + (f" and {more} more" if more > 0 else "")
