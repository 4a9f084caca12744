"""What the owner is told, and from which number: filed with the command centre, never chosen by a caller."""

from dataclasses import dataclass
from typing import Final

from services.outbound.prompts import GREETING


@dataclass(frozen=True, slots=True)
class CallScript:
    """An approved wording and caller ID (B1, B2). Every attempt keeps the version it used (B3)."""

    version: int
    caller_id: str
    greeting: str
    """Text with ``{plate}`` where the plate is spoken."""


APPROVED: Final = CallScript(version=1, caller_id="0519110", greeting=GREETING)
"""The script in force: the contract's own."""
