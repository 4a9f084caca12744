"""A service's processes around one log, which a test can start, crash and start again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import Bus, Consumer, Handler, Relay, emit
from services.common.clock import SystemClock
from services.common.database import Database
from services.common.events import AttemptChanged, ContactConcluded, Event
from services.common.models import DeadLetter, OutboxEntry
from services.common.tasks import Tasks
from tests.support.tables import create_tables

SERVICE = "movecar"
DEADLINE = 60.0

_metadata = MetaData()
EFFECTS = Table(
    "effects",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(32)),
    Column("number", Integer),
)

Handle = Callable[[AsyncSession, AttemptChanged], Awaitable[None]]


def event(key: str, number: int, occurred_at: datetime | None = None) -> AttemptChanged:
    """Return the `number`-th event of a key."""
    moment = occurred_at or datetime.now(UTC)
    return AttemptChanged(
        occurred_at=moment,
        case_id=key,
        contact_id="c",
        attempt_id="a",
        version=number,
        number=1,
        state="ringing",
        outcome=None,
        script_version=1,
        queued_at=moment,
        dialed_at=None,
        answered_at=None,
        ended_at=None,
    )


def concluded(key: str) -> ContactConcluded:
    """Return an event of a key that somebody has to act on."""
    return ContactConcluded(occurred_at=datetime.now(UTC), case_id=key, contact_id="c", outcome="disputed")


async def conclude(session: AsyncSession, handled: ContactConcluded) -> None:
    """Leave a row for what is urgent: number 0."""
    await session.execute(insert(EFFECTS).values(key=handled.case_id, number=0))


async def take_effect(session: AsyncSession, handled: AttemptChanged) -> None:
    """Leave a row, so that a test sees what was handled, how often and in which order."""
    await session.execute(insert(EFFECTS).values(key=handled.case_id, number=handled.version))


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = DEADLINE) -> None:
    """Return when the condition holds; fail when it does not within the deadline."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - it is in a database, nobody here sets an event
            await asyncio.sleep(0.01)


class Node:
    """One process of the service: its own bus connection, relay and consumer."""

    def __init__(self, database: Database, bus: Bus, handle: Handle) -> None:
        self.database = database
        self.bus = bus
        self.relay = Relay(database, bus, SystemClock())
        handlers: dict[type[Event], Handler] = {AttemptChanged: handle, ContactConcluded: conclude}
        self.consumer = Consumer(SERVICE, handlers, database, bus, SystemClock())
        self._tasks = Tasks(SystemClock())

    def start(self, *, relaying: bool = True, consuming: bool = True) -> Self:
        """Run the relay, the consumer or both."""
        if relaying:
            self._tasks.start("relay", self.relay.run)
        if consuming:
            self._tasks.start("consumer", self.consumer.run)
        return self

    async def crash(self) -> None:
        """Stop in the middle of whatever it does; nothing is tidied up."""
        await self._tasks.close()


class World:
    """One database, one kind of bus, and any number of processes."""

    def __init__(self, database: Database, make_bus: Callable[[Database, str], Bus]) -> None:
        self.database = database
        self._make_bus = make_bus
        self._nodes: list[Node] = []

    async def __aenter__(self) -> Self:
        await create_tables(self.database)
        async with self.database.engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self._nodes:
            await node.crash()
            await node.bus.close()
        await self.database.close()

    def node(
        self,
        handle: Handle = take_effect,
        *,
        instance: str = "1",
        around: Callable[[Bus], Bus] = lambda bus: bus,
    ) -> Node:
        """Return a process that is not running yet; `around` puts a faulty bus in place of its bus."""
        node = Node(self.database, around(self._make_bus(self.database, instance)), handle)
        self._nodes.append(node)
        return node

    async def emit(self, key: str, *numbers: int, occurred_at: datetime | None = None) -> None:
        """Commit events of a key, all in one transaction."""
        async with self.database.transaction() as session:
            await emit(session, *(event(key, number, occurred_at) for number in numbers))

    async def effects(self, key: str | None = None) -> list[int]:
        """Return the numbers of the events handled so far, in the order they were."""
        query = select(EFFECTS.c.number).order_by(EFFECTS.c.id)
        async with self.database.reading() as session:
            return list(await session.scalars(query if key is None else query.where(EFFECTS.c.key == key)))

    async def wait_for_effects(self, count: int) -> None:
        """Wait until so many events were handled."""

        async def handled() -> bool:
            return len(await self.effects()) >= count

        await eventually(handled)

    async def positions(self) -> list[int | None]:
        """Return the places of all events in the log."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(OutboxEntry.position).order_by(OutboxEntry.position)))

    async def dead_letters(self) -> list[DeadLetter]:
        """Return what was set aside."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(DeadLetter).order_by(DeadLetter.id)))


class FaultyBus:
    """A bus whose named operation fails after it was done: the process dies at that moment."""

    def __init__(self, bus: Bus, operation: str) -> None:
        self._bus = bus
        self._operation = operation
        self.died = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._bus, name)
        if name != self._operation:
            return real

        async def dying(*arguments: Any, **options: Any) -> None:
            await real(*arguments, **options)
            self.died.set()
            await asyncio.Event().wait()

        return dying


class DeafBus:
    """A bus whose named operation never reaches it: the process dies just before."""

    def __init__(self, bus: Bus, operation: str) -> None:
        self._bus = bus
        self._operation = operation
        self.died = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        if name != self._operation:
            return getattr(self._bus, name)

        async def dying(*_: Any, **__: Any) -> None:
            self.died.set()
            await asyncio.Event().wait()

        return dying
