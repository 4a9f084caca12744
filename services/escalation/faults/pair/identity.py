"""One fault, one id, although two machines found it out without a word to each other."""

import hashlib
from datetime import datetime

SLOT_SECONDS = 30
"""Two machines that look every two seconds find the same last good moment within two. Two outages of a part
lie about as far apart: each lasts `FAULT_AFTER` at least, and the part is good for five seconds after."""


def fault_id(component: str, began_at: datetime, flaps: int, machine: str = "") -> str:
    """Return the id of a fault of a part that was last good at a moment; `machine` for what is its own.

    Where the slot's edge falls between the two moments the ids differ: then the desk hears of two faults of
    one part, each with its recovery. That way round an error is harmless.
    """
    slot = int(began_at.timestamp()) // SLOT_SECONDS
    return hashlib.sha256(f"fault:{component}:{slot}:{flaps}:{machine}".encode()).hexdigest()[:32]
