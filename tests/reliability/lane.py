"""One outbound installation among several on the same ground: a database, a Redis database, one process."""

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import exists, func, select

from services.common.bus import emit
from services.common.crypto import Keys
from services.common.database import Database, is_outage
from services.common.events import AttemptOutcome, ContactConcluded, decode
from services.common.membership import among
from services.common.migrations import upgrade
from services.common.models import OutboxEntry
from services.outbound.models import Attempt
from services.outbound.models import Contact as RequestedContact
from tests.reliability.boundaries import Boundary
from tests.reliability.ground import RING_SECONDS, Ground
from tests.reliability.nursery import Victim
from tests.reliability.owners import number
from tests.reliability.verdict import AttemptSeen, Story
from tests.reliability.wire import Wire
from tests.support.running import SECRET
from tests.unit.outbound.rig import requested

NO_LIMITS = '{"number":{},"owner":{},"operator":{},"trunk":{},"service":{}}'
_LOOK_SECONDS = 0.15
_SETTLED = select(func.count()).where(
    among(RequestedContact.id, "ids"),
    RequestedContact.outcome.is_not(None),
    ~exists().where(Attempt.contact_id == RequestedContact.id, Attempt.state != "ended"),
)
_serials = itertools.count()
_upgrading = asyncio.Lock()
"""Alembic keeps what it is at in the module: one at a time in a process."""


@dataclass(frozen=True)
class Contact:
    """An owner to be called, asked for at `at` (monotonic seconds)."""

    id: str
    number: str
    played: AttemptOutcome
    at: float


class Lane:
    """Takes requests as movecar would send them, and runs the outbound process over them."""

    def __init__(self, ground: Ground, number: int, **settings: str) -> None:
        self.ground = ground
        self.number = number
        self._name = f"lane_{number}"
        self._directory = ground.directory / self._name
        self._keys = Keys.from_secret(SECRET)
        self.log = ground.directory / f"{self._name}.log"
        switch = ground.asterisk.settings
        self.environment = {
            "MOVECAR_DATABASE_URL": ground.postgres.url(self._name),
            "MOVECAR_REDIS_URL": ground.redis.url(number),
            "MOVECAR_DATA_DIR": str(self._directory),
            "MOVECAR_SECRET_KEY": SECRET,
            "MOVECAR_OUTBOUND_LISTEN": "127.0.0.1:0",
            "MOVECAR_PBX": "asterisk",
            "MOVECAR_AMI_HOST": switch.ami_host,
            "MOVECAR_AMI_PORT": str(switch.ami_port),
            "MOVECAR_AMI_USER": switch.ami_user,
            "MOVECAR_AMI_SECRET": switch.ami_secret,
            "MOVECAR_RING_TIME": str(RING_SECONDS),
            "MOVECAR_REDIAL": "{}",
            "MOVECAR_CALL_LIMITS": NO_LIMITS,
        } | settings
        self.database = Database(ground.postgres.url(self._name), pool_size=2)
        self.contacts: list[Contact] = []
        self.victim: Victim | None = None

    async def __aenter__(self) -> Self:
        self._directory.mkdir(exist_ok=True)
        await asyncio.to_thread(self.ground.postgres.create_database, self._name)
        async with _upgrading:
            await upgrade(self.database)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.database.close()

    async def request(self, *played: AttemptOutcome) -> list[Contact]:
        """Ask for owners to be called who play these outcomes."""
        events, contacts = [], []
        for outcome in played:
            called = number(outcome, next(_serials))
            event = requested(self._keys, [called])
            events.append(event)
            contacts.append(Contact(event.contact_id, called, outcome, time.monotonic()))
        async with self.database.transaction() as session:
            await emit(session, *events)
        self.contacts += contacts
        return contacts

    async def start(self, kill_at: Boundary | None = None) -> Victim:
        """Start the outbound process."""
        self.victim = await self.ground.nursery.beget(self.environment, self.log, kill_at)
        return self.victim

    async def stop(self) -> None:
        """Kill it."""
        if self.victim is not None:
            await self.victim.kill()

    async def attempts(self, contacts: Iterable[Contact]) -> Mapping[str, list[Any]]:
        """Attempts by contact, in order."""
        found: dict[str, list[Any]] = defaultdict(list)
        columns = (Attempt.id, Attempt.contact_id, Attempt.state, Attempt.outcome, Attempt.dialed_at)
        async with self.database.reading() as session:
            rows = await session.execute(
                select(*columns)
                .where(Attempt.contact_id.in_([contact.id for contact in contacts]))
                .order_by(Attempt.number)
            )
            for row in rows:
                found[row.contact_id].append(row)
        return found

    async def conclusions(self, contacts: Iterable[Contact]) -> Mapping[str, list[str]]:
        """Outcomes told to the other services, by contact."""
        wanted = {contact.id for contact in contacts}
        told: dict[str, list[str]] = defaultdict(list)
        async with self.database.reading() as session:
            rows = await session.execute(
                select(OutboxEntry.type, OutboxEntry.payload).where(OutboxEntry.type == ContactConcluded.TYPE)
            )
            for row in rows:
                event = decode(row.type, row.payload)
                if isinstance(event, ContactConcluded) and event.contact_id in wanted:
                    told[event.contact_id].append(event.outcome)
        return told

    async def settled(self, contacts: Iterable[Contact], seconds: float) -> bool:
        """Wait until all are concluded and their attempts ended; False when that takes too long."""
        ids = [contact.id for contact in contacts]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                async with self.database.reading() as session:
                    if await session.scalar(_SETTLED, {"ids": ids}) == len(ids):
                        return True
            except Exception as error:
                if not is_outage(error):
                    raise
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def stories(self, wire: Wire, *, most: int = 1, switch_died: bool = False) -> list[Story]:
        """Everything that was asked for, from all sides."""
        told, tried = await self.conclusions(self.contacts), await self.attempts(self.contacts)
        return [
            Story(
                number=contact.number,
                played=contact.played,
                attempts=[
                    AttemptSeen(row.id, row.outcome, row.dialed_at is not None)
                    for row in tried.get(contact.id, ())
                ],
                conclusions=told.get(contact.id, []),
                invites=wire.invites[contact.number],
                answers=wire.answers[contact.number],
                most=most,
                switch_died=switch_died,
            )
            for contact in self.contacts
        ]


@contextlib.asynccontextmanager
async def lanes(ground: Ground, count: int, **settings: str) -> AsyncIterator[list[Lane]]:
    """Several lanes side by side."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Lane(ground, number, **settings))
            for number in range(1, count + 1)
        ]
