"""A caller under test: its own database, the sandbox PBX, and a tap on the line between the two."""

import asyncio
import contextlib
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import select

from services.common.ami import Address, AmiLink, Timing
from services.common.bus import Together
from services.common.call_rules import CallLimits
from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.common.database import Database
from services.common.events import (
    AttemptChanged,
    CallMode,
    ContactConcluded,
    ContactRequested,
    ContactWithdrawn,
    Event,
    decode,
)
from services.common.ids import new_id
from services.common.models import OutboxEntry
from services.common.settings import Settings, load_settings
from services.outbound.calls import EVENT_NAMES, CallEvent, Ended
from services.outbound.dialer import Claimed
from services.outbound.engine import Engine
from services.outbound.models import Attempt
from services.outbound.pbx import Connected, Pbx
from services.outbound.sandbox import SandboxPbx
from tests.support.tables import create_tables

DEADLINE = 60.0
SPEED = 200.0
NO_LIMITS = CallLimits.none().model_dump()
PLATE = "苏D10001"
NUMBER = "1390000000"
"""A mobile number but for its last digit, which decides what the owner does."""
_QUICK = Timing(connect=2.0, ping_every=0.5, ping_deadline=0.5, first_retry=0.01, last_retry=0.05)

EventT = TypeVar("EventT", bound=Event)


class ShiftedClock(SystemClock):
    """The machine's clock, moved on at will."""

    def __init__(self) -> None:
        self.shift = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.shift


class Tap:
    """Passes bytes between the caller and the PBX, counts the calls asked for, and cuts the line."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.asked: Counter[str] = Counter()
        """Attempt id → how many times the PBX was asked to place it."""
        self.dialled: list[str] = []
        """Numbers, in the order they were asked for."""
        self.heard: list[str] = []
        """Every message of the PBX, in order."""
        self._cut_at = ""
        self._dropped_event = ""
        self._said = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def restore(self) -> None:
        """Let connections through (again)."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Drop every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_connections(self) -> None:
        """Drop every connection; new ones are let through."""
        for writer in list(self._writers):
            writer.transport.abort()

    def drop_before(self, text: str) -> None:
        """Drop the connections in place of passing on what the PBX says next with `text` in it."""
        self._cut_at = text

    def lose(self, event: str) -> None:
        """Lose every message of the PBX with `event` in it from now on; the connection stays up."""
        self._dropped_event = event

    async def until_heard(self, event: str, times: int = 1) -> None:
        """Wait until the PBX has said something so many times, counted from the beginning."""
        async with asyncio.timeout(DEADLINE), self._said:
            await self._said.wait_for(lambda: sum(event in text for text in self.heard) >= times)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            try:
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            except OSError:  # the PBX is gone, and so is this end
                writer.transport.abort()
                return
            self._writers |= {writer, up_writer}
            with contextlib.suppress(OSError):
                await asyncio.gather(
                    self._pass(reader, up_writer, self._note_asked),
                    self._pass(up_reader, writer, self._note_said),
                )
            for end in (writer, up_writer):
                self._writers.discard(end)
                end.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[str], bool]
    ) -> None:
        rest = ""
        while data := await reader.read(65536):
            *messages, rest = (rest + data.decode()).split("\r\n\r\n")
            if not rest.startswith(("Action", "Event", "Response")):  # the banner is no message
                writer.write(rest.encode())
                rest = ""
            for message in messages:
                if note(message):
                    writer.write(f"{message}\r\n\r\n".encode())
            await writer.drain()
            async with self._said:
                self._said.notify_all()
        raise ConnectionResetError

    def _note_asked(self, text: str) -> bool:
        self.asked.update(re.findall(r"ChannelId: ([0-9a-f]{32})", text))
        self.dialled += re.findall(r"Channel: PJSIP/([0-9]+)@", text)
        return True

    def _note_said(self, text: str) -> bool:
        if self._cut_at and self._cut_at in text:
            self._cut_at = ""
            self.drop_connections()
            raise ConnectionResetError
        self.heard.append(text)
        return not (self._dropped_event and self._dropped_event in text)


class Witness:
    """Hears what happens in the PBX on a line of its own, whatever happens to the caller's."""

    def __init__(self, port: int) -> None:
        self._pbx = Pbx(AmiLink(Address("127.0.0.1", port), "movecar", "secret", wanted=EVENT_NAMES))
        self._heard = asyncio.Condition()
        self._listening = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.events: list[CallEvent] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._pbx.run()), asyncio.create_task(self._listen())]
        async with asyncio.timeout(DEADLINE):
            await self._listening.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        async for notice in self._pbx.stream():
            if isinstance(notice, Connected):
                self._listening.set()
            elif isinstance(notice, tuple):
                async with self._heard:
                    self.events += notice
                    self._heard.notify_all()

    async def quiet(self) -> None:
        """Wait until every call that rang has ended."""
        async with asyncio.timeout(DEADLINE), self._heard:
            await self._heard.wait_for(
                lambda: (
                    {event.attempt_id for event in self.events}
                    == {event.attempt_id for event in self.events if isinstance(event, Ended)}
                )
            )

    async def saw(self, kind: type[CallEvent], times: int = 1) -> None:
        """Wait until something has happened so many times, counted from the beginning."""
        async with asyncio.timeout(DEADLINE), self._heard:
            await self._heard.wait_for(lambda: sum(isinstance(event, kind) for event in self.events) >= times)


class Told:
    """What was told to the other services on a database, and the waiting for it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._committed = asyncio.Condition()
        self._notify: set[asyncio.Task[None]] = set()
        database.on_commit(self._on_commit)

    def _on_commit(self, _: bool) -> None:
        task = asyncio.ensure_future(self._wake())
        self._notify.add(task)
        task.add_done_callback(self._notify.discard)

    async def _wake(self) -> None:
        async with self._committed:
            self._committed.notify_all()

    async def events(self, kind: type[EventT], contact_id: str | None = None) -> list[EventT]:
        """Return what was emitted so far."""
        async with self.database.reading() as session:
            rows = await session.execute(
                select(OutboxEntry.type, OutboxEntry.payload)
                .where(OutboxEntry.type == kind.TYPE)
                .order_by(OutboxEntry.id)
            )
            events = [decode(row.type, row.payload) for row in rows]
        return [
            event
            for event in events
            if isinstance(event, kind) and contact_id in {None, getattr(event, "contact_id", None)}
        ]

    async def until(self, kind: type[EventT], found: Callable[[list[EventT]], bool]) -> list[EventT]:
        """Wait until the events of a kind emitted so far are as wanted."""
        async with asyncio.timeout(DEADLINE), self._committed:
            while not found(events := await self.events(kind)):
                await self._committed.wait()
        return events

    async def conclusion(self, contact_id: str) -> str:
        """Wait for a contact's conclusion; it must be the only one."""
        found = await self.until(
            ContactConcluded, lambda events: any(event.contact_id == contact_id for event in events)
        )
        outcomes = [event.outcome for event in found if event.contact_id == contact_id]
        assert len(outcomes) == 1
        return outcomes[0]

    async def reached(self, contact_id: str, state: str) -> AttemptChanged:
        """Wait until an attempt of a contact is published in this state."""

        def wanted(events: list[AttemptChanged]) -> list[AttemptChanged]:
            return [event for event in events if event.contact_id == contact_id and event.state == state]

        found = await self.until(AttemptChanged, lambda events: bool(wanted(events)))
        return wanted(found)[0]


class Rig(Told):
    """One caller on one database; `engine` can be crashed and a new one started on the same database."""

    def __init__(
        self, settings: Settings, database: Database, tap: Tap, witness: Witness, clock: ShiftedClock
    ) -> None:
        super().__init__(database)
        self.settings = settings
        self.tap = tap
        self.witness = witness
        self.clock: ShiftedClock = clock
        self.keys = Keys.from_secret(settings.root_secret())
        self._tasks: dict[str, asyncio.Future[None]] = {}
        self._pbx_class: type[Pbx] = Pbx
        self.engine = self._build()

    def nodes(self) -> dict[str, int]:
        """Return the ports of the Asterisk nodes, by name."""
        return {"main": self.tap.port}

    def _build(self) -> Engine:
        nodes = {
            name: self._pbx_class(
                AmiLink(Address("127.0.0.1", port), "movecar", "secret", wanted=EVENT_NAMES, timing=_QUICK)
            )
            for name, port in self.nodes().items()
        }
        return Engine(self.settings, self.clock, self.keys, self.database, nodes)

    async def start(self, pbx_class: type[Pbx] = Pbx) -> Engine:
        """Start a new engine, as a new process would."""
        self._pbx_class = pbx_class
        self.engine = self._build()
        self._tasks = {name: asyncio.ensure_future(work()) for name, work in self.engine.tasks.items()}
        return self.engine

    async def fault(self, name: str) -> BaseException | None:
        """Wait until one of the engine's tasks has ended, and return the fault it ended by."""
        task = self._tasks.pop(name)
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([task])
        return task.exception()

    async def claim(self, limit: int) -> list[Claimed]:
        """Claim due attempts as the dialer does, also while its engine is not started."""
        self.engine.switchboard.open("main")
        claimed, _ = await self.engine.dialer.claim(limit)
        return claimed

    async def crash(self) -> None:
        """End the engine as a killed process ends: nothing more is written, nothing more is sent."""
        await self._cancel()
        await self.engine.dialer.close()
        for follower in self.engine.followers.values():
            await follower.close()

    @contextlib.asynccontextmanager
    async def sibling(self, instance: str) -> AsyncIterator["Rig"]:
        """Set up another instance, as a process of its own on the same database and the same line."""
        settings = self.settings.model_copy(update={"instance": instance})
        database = Database(settings.database)
        database.on_commit(self._on_commit)  # what it tells is heard here as well
        rig = type(self)(settings, database, self.tap, self.witness, self.clock)
        try:
            yield rig
        finally:
            await rig.stop()
            await database.close()

    async def stop(self) -> None:
        """End the engine in good order."""
        await self._cancel()
        await self.engine.close()

    async def _cancel(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks = {}
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result

    def requested(self, numbers: Sequence[str], plate: str = PLATE) -> ContactRequested:
        """Return a request to call an owner."""
        return requested(self.keys, numbers, plate)

    async def handle(self, *events: Event) -> None:
        """Have the engine's handlers take events, in one transaction."""
        async with self.database.transaction() as session:
            for kind, run in itertools.groupby(events, type):
                match self.engine.handlers[kind]:
                    case Together(handle=handle):
                        await handle(session, list(run))
                    case handle:
                        for event in run:
                            await handle(session, event)

    async def request(self, *numbers: str, mode: CallMode = "notice", seat: str = "") -> str:
        """Ask for an owner to be called; return the contact's id."""
        event = requested(self.keys, numbers, mode=mode, seat=seat)
        await self.handle(event)
        return event.contact_id

    async def lines_free(self) -> None:
        """Wait until no line is taken: a line is free a moment after its call's end was written down."""
        async with asyncio.timeout(DEADLINE):
            while self.engine.lines.up:  # noqa: ASYNC110 - `changed` belongs to the dialer
                await asyncio.sleep(0.005)

    async def withdraw(self, contact_id: str) -> None:
        """Withdraw a contact."""
        await self.handle(
            ContactWithdrawn(occurred_at=self.clock.now(), case_id=new_id(), contact_id=contact_id)
        )

    async def attempts(self, contact_id: str) -> Sequence[Attempt]:
        """Return a contact's attempts, in order."""
        async with self.database.reading() as session:
            return (
                await session.scalars(
                    select(Attempt).where(Attempt.contact_id == contact_id).order_by(Attempt.number)
                )
            ).all()


def requested(
    keys: Keys, numbers: Sequence[str], plate: str = PLATE, mode: CallMode = "notice", seat: str = ""
) -> ContactRequested:
    """Return a request to call an owner, sealed as the operator's side seals it."""
    contact_id = new_id()
    context = f"contact:{contact_id}"
    return ContactRequested(
        occurred_at=datetime.now(UTC),
        case_id=new_id(),
        contact_id=contact_id,
        mode=mode,
        seat=seat,
        plate_sealed=keys.seal(plate, context),
        numbers_sealed=tuple(keys.seal(number, context) for number in numbers),
    )


def settings_for(directory: Path, **overrides: Any) -> Settings:
    """Return settings with redial rules that take no patience."""
    rules = {"busy": [0.05, 0.05], "no_answer": [0.05], "congestion": [], "hung_up": [0.05]}
    values: dict[str, Any] = {
        "data_dir": directory,
        "secret_key": "a root secret that is long enough for the tests",
        "redial": rules,
        "sandbox_speed": SPEED,
        # The tests ring the same ten numbers over and over.
        "call_limits": NO_LIMITS,
        "_env_file": None,
    }
    return load_settings(**(values | overrides))


@contextlib.asynccontextmanager
async def rig_on(settings: Settings, *, speed: float = SPEED) -> AsyncIterator[Rig]:
    """Set a caller up beside a sandbox PBX; its engine is built and not started."""
    clock = ShiftedClock()
    database = Database(settings.database)
    await create_tables(database)
    async with (
        SandboxPbx("movecar", "secret", clock, speed=speed) as sandbox,
        Tap(sandbox.port) as tap,
        Witness(sandbox.port) as witness,
    ):
        rig = Rig(settings, database, tap, witness, clock)
        try:
            yield rig
        finally:
            await rig.stop()
            await database.close()
