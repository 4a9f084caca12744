"""The chain on a database of its own, with time in the test's hand and the sandbox's desk on the phone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from services.common.ami import Address, AmiLink
from services.common.clock import ManualClock, SystemClock
from services.common.events import CaseEscalated, EscalationReason
from services.common.ids import new_id
from services.common.service import Kernel
from services.common.settings import Settings
from services.escalation.chain.auditor import Auditor
from services.escalation.chain.steps import Chain
from services.escalation.desk_calls.line import EVENT_NAMES, DeskLine
from services.escalation.desk_calls.queue import DeskCalls
from services.escalation.escalations import Escalations
from services.escalation.feed import Feed
from services.escalation.models import DeskCall, Escalation, EscalationStep
from services.outbound.sandbox import SandboxPbx
from tests.support.running import settings_for
from tests.support.tables import create_tables
from tests.unit.escalation.harness import DETAILS

DEADLINE = 60.0


@dataclass
class Desk:
    """One escalation service without its sockets; nothing happens but what the test asks for."""

    settings: Settings
    clock: ManualClock
    kernel: Kernel
    feed: Feed
    rules: Escalations
    calls: DeskCalls
    chain: Chain
    auditor: Auditor

    async def escalate(self, reason: EscalationReason = "dispute") -> str:
        """Raise an escalation as a case does; return its id."""
        escalation_id = new_id()
        sealed = self.kernel.keys.seal(orjson.dumps(DETAILS).decode(), f"escalation:{escalation_id}")
        event = CaseEscalated(
            occurred_at=self.clock.now(),
            case_id="case-1",
            escalation_id=escalation_id,
            reason=reason,
            details_sealed=sealed,
        )
        async with self.kernel.database.transaction() as session:
            await self.rules.raise_for_cases(session, [event])
        return escalation_id

    async def acknowledge(self, escalation_id: str) -> None:
        """Acknowledge as on the screen."""
        async with self.kernel.database.transaction() as session:
            await self.rules.acknowledge(session, escalation_id, "desk1", None)

    async def later(self, seconds: float) -> list[str]:
        """Let time pass and have what is due then done; return every step taken so far."""
        await self.clock.advance(seconds)
        await self.chain.take_due()
        return [row.step for row in await self.rows(EscalationStep)]

    async def rows(self, table: type[Any]) -> Sequence[Any]:
        """Every row of a table, in order."""
        async with self.kernel.database.reading() as session:
            return (await session.scalars(select(table))).all()

    async def one(self, escalation_id: str) -> Escalation:
        """An escalation as it stands."""
        async with self.kernel.database.reading() as session:
            row = await session.get(Escalation, escalation_id)
            assert row is not None
            return row

    async def call(self) -> DeskCall:
        """The only call to the desk's line."""
        (call,) = await self.rows(DeskCall)
        return call  # type: ignore[no-any-return]

    async def items(self) -> list[tuple[str, dict[str, Any]]]:
        """Types and data of the feed."""
        return [(item.type, orjson.loads(item.body)["data"]) for item in await self.feed.read(0, 500)]


@asynccontextmanager
async def desk_line(number: str, speed: float = 500) -> AsyncIterator[tuple[DeskLine, SandboxPbx]]:
    """A line to the sandbox's desk, whose number's last digit says what it does."""
    async with SandboxPbx("movecar", "secret", SystemClock(), speed=speed, desk_number=number) as pbx:
        link = AmiLink(Address("127.0.0.1", pbx.port), "movecar", "secret", wanted=EVENT_NAMES)
        line = DeskLine([link], SystemClock(), "114")
        running = asyncio.create_task(line.run())
        try:
            async with asyncio.timeout(DEADLINE):
                while not line.connected:  # noqa: ASYNC110 - the link has no event for it
                    await asyncio.sleep(0.005)
            yield line, pbx
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def desk_with(directory: Path, line: DeskLine | None) -> AsyncIterator[Desk]:
    """The parts of the chain, wired as `app.build` wires them."""
    settings = settings_for(directory, ack_remind=60, ack_call=180, ack_again=120, dispose_within=600)
    clock = ManualClock()
    kernel = Kernel.build(settings, clock)
    await create_tables(kernel.database)
    feed = Feed(kernel.database, kernel.keys, pushing=False)
    rules = Escalations(feed, kernel.keys, clock, settings)
    calls = DeskCalls(kernel.database, rules, line, kernel.keys, clock, settings.instance)
    chain = Chain(kernel.database, rules, calls, clock)
    try:
        yield Desk(settings, clock, kernel, feed, rules, calls, chain, Auditor(kernel.database, rules, clock))
    finally:
        await kernel.bus.close()
        await kernel.database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_with(tmp_path, None) as made:
        yield made
