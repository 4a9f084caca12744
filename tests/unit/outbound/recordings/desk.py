"""A collector beside a spool and a store, and calls that have ended."""

import contextlib
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select

from services.common.crypto import Keys
from services.common.database import Database
from services.common.events import RecordingKept, decode
from services.common.ids import new_id
from services.common.models import OutboxEntry
from services.common.vault import Vault
from services.outbound.models import Attempt, Contact, Incident
from services.outbound.recordings.catalogue import Catalogue
from services.outbound.recordings.collector import Collector
from services.outbound.recordings.keeper import Keeper
from services.outbound.recordings.models import AttemptRecording
from services.outbound.recordings.spool import Spool
from tests.support.tables import create_tables
from tests.unit.outbound.rig import ShiftedClock

SECRET = "a root secret that is long enough for the tests"


def write_wav(path: Path, seconds: float, level: int = 1000, rate: int = 8000) -> bytes:
    """Write a recording by the standard library, as another program would; return its bytes."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(level.to_bytes(2, "little") * int(seconds * rate))
    return path.read_bytes()


@dataclass
class Desk:
    """Everything a collector works with; `collector` may be made anew, as a new process would."""

    database: Database
    home: Path
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    keys: Keys = field(default_factory=lambda: Keys.from_secret(SECRET))

    def __post_init__(self) -> None:
        self.spool = self.home / "spool"
        self.spool.mkdir(exist_ok=True)
        self.store = self.home / "recordings"
        self.vault = Vault(self.keys.derive("recordings"))
        self.collector = self.new_collector()

    def new_collector(self, vault: Vault | None = None, spool: Spool | None = None) -> Collector:
        """Return another collector on the same spool, store and database."""
        return Collector(
            self.database,
            self.clock,
            Catalogue(self.keys),
            Keeper(vault or self.vault, self.store),
            spool or Spool(self.spool),
            look_seconds=0.01,
        )

    async def call(self, *, seconds: float = 10, ago: float = 2, **fields: Any) -> str:
        """Add an answered call that ended a while ago; return the attempt's id."""
        now = self.clock.now()
        ended = now - timedelta(seconds=ago)
        contact_id, attempt_id = new_id(), new_id()
        attempt = {
            "id": attempt_id,
            "contact_id": contact_id,
            "number": 1,
            "number_index": 0,
            "callee": self.keys.index("phone", "13900000001"),
            "state": "ended",
            "outcome": "agreed",
            "version": 5,
            "script_version": 1,
            "queued_at": now,
            "due_at": now,
            "dialed_at": ended - timedelta(seconds=seconds + 5),
            "answered_at": ended - timedelta(seconds=seconds),
            "greeting_started_at": ended - timedelta(seconds=seconds),
            "greetings_ended": 1,
            "ended_at": ended,
        }
        contact = {
            "id": contact_id,
            "case_id": new_id(),
            "mode": "notice",
            "operator": "operator-1",
            "plate_sealed": "",
            "numbers_sealed": [],
            "callees": [],
            "requested_at": now,
        }
        async with self.database.transaction() as session:
            await session.execute(insert(Contact).values(contact))
            await session.execute(insert(Attempt).values(attempt | fields))
        return attempt_id

    def record(self, attempt_id: str, seconds: float = 10, level: int = 1000) -> bytes:
        """Leave a recording in the spool as Asterisk does; return its bytes."""
        return write_wav(self.spool / f"{attempt_id}.wav", seconds, level)

    def path(self, attempt_id: str, ended_at: datetime) -> Path:
        """Where the store keeps a recording."""
        day = ended_at + timedelta(hours=8)
        return self.store / f"{day:%Y/%m/%d}" / self.keys.index("recording", attempt_id)

    async def rows(self) -> dict[str, AttemptRecording]:
        """Return the rows by attempt."""
        async with self.database.reading() as session:
            return {row.attempt_id: row for row in await session.scalars(select(AttemptRecording))}

    async def states(self) -> dict[str, tuple[str, str | None]]:
        """Return state and fault by attempt."""
        return {attempt: (row.state, row.fault) for attempt, row in (await self.rows()).items()}

    async def told(self) -> list[RecordingKept]:
        """Return what the operators' side was told."""
        async with self.database.reading() as session:
            payloads = await session.scalars(
                select(OutboxEntry.payload).where(OutboxEntry.type == RecordingKept.TYPE)
            )
            events = [decode(RecordingKept.TYPE, payload) for payload in payloads]
        return [event for event in events if isinstance(event, RecordingKept)]

    async def incidents(self, *, closed: bool = False) -> list[tuple[str, str]]:
        """Return kind and subject of the open (or closed) incidents."""
        async with self.database.reading() as session:
            found = await session.scalars(
                select(Incident)
                .where(Incident.closed_at.is_not(None) if closed else Incident.closed_at.is_(None))
                .order_by(Incident.opened_at)
            )
            return [(incident.kind, incident.subject) for incident in found]

    async def plain(self, attempt_id: str) -> bytes:
        """Return the plain bytes of a stored recording."""
        row = (await self.rows())[attempt_id]
        assert row.path is not None
        with self.vault.open(self.store / row.path, row.id) as file:
            return b"".join(file.read())

    def left(self) -> list[str]:
        """Return what is in the spool."""
        return sorted(entry.name for entry in self.spool.iterdir())


@contextlib.asynccontextmanager
async def desk_at(home: Path, url: str) -> AsyncIterator[Desk]:
    """Set everything up on an empty database."""
    database = Database(url)
    try:
        await create_tables(database)
        yield Desk(database, home)
    finally:
        await database.close()
