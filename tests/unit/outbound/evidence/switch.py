"""A switch as far as evidence goes: the file that it writes call records into."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.common.ids import new_id
from services.outbound.evidence.line import CallRecord, write_line

NOON = datetime(2026, 4, 1, 4, tzinfo=UTC)
_serial = itertools.count()


def call_record(attempt_id: str | None = None, **changes: Any) -> CallRecord:
    """Return the record of a call of 10 seconds, answered after 4."""
    unique_id = attempt_id or new_id()
    serial = next(_serial)
    values: dict[str, Any] = {
        "unique_id": unique_id,
        "linked_id": unique_id,
        "channel": f"PJSIP/trunk-0519110-{serial:08x}",
        "started_at": NOON,
        "answered_at": NOON + timedelta(seconds=4),
        "ended_at": NOON + timedelta(seconds=10),
        "duration": 10.0,
        "billed": 6.0,
        "disposition": "ANSWERED",
        "sequence": serial,
    }
    return CallRecord(**(values | changes))


class Switch:
    """Writes records as Asterisk does: opens the file anew for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[str] = []

    def write(self, *records: CallRecord) -> None:
        for record in records:
            self.append(write_line(record))
            self.written.append(record.unique_id)

    def calls(self, count: int) -> None:
        """Write records of so many calls."""
        self.write(*(call_record() for _ in range(count)))

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def rotate(self, suffix: str = ".1") -> Path:
        """Rename the file away, as logrotate does."""
        return self.path.rename(self.path.with_name(self.path.name + suffix))

    def copy_and_truncate(self, suffix: str = ".1") -> None:
        """Copy the file away and empty it, as logrotate's `copytruncate` does."""
        self.path.with_name(self.path.name + suffix).write_bytes(self.path.read_bytes())
        self.path.write_bytes(b"")
