"""The script in force, known to every caller process without asking the database for each call (B3)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import select

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.prompts.shelf import Finding
from services.outbound.scripts.audible import Audible, summary
from services.outbound.scripts.contract import VERSION, file_contract_script
from services.outbound.scripts.machine import Approved, in_force
from services.outbound.scripts.models import CallScript
from services.outbound.waiting import signalled

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 5.0
"""How long a script that another process approved may stay unknown to this one, at most."""
_OUTAGE_SECONDS: Final = 0.5


class Scripts:
    """The approved scripts, read every few seconds; which one is in force is decided by time, at each use."""

    def __init__(
        self, database: Database, clock: Clock, audible: Audible, loaded: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._clock = clock
        self._audible = audible
        self._loaded = loaded
        self._spoken: list[Finding] | None = None
        self._approved: tuple[Approved, ...] = ()
        self._asked = asyncio.Event()

    @property
    def silent_because(self) -> str:
        """Why no call may be placed: owners would not hear what was approved; empty when they would (B2)."""
        if self._spoken is None:
            return "the prompts are being looked at"
        return summary(self._spoken) if self._spoken else ""

    def known_current(self, now: datetime) -> Approved | None:
        """Return the script in force at `now` as far as is known."""
        return in_force(self._approved, now)

    @property
    def version(self) -> int:
        """The version in force as far as is known; the contract's own before anything was read."""
        script = in_force(self._approved, self._clock.now())
        return script.version if script else VERSION

    async def current(self, now: datetime) -> Approved:
        """Return the script in force at `now`, from memory once it was read."""
        script = in_force(self._approved, now)
        if script is None:
            await self.load()
            script = in_force(self._approved, now)
        if script is None:
            raise RuntimeError("no call script is in force: the contract's own is not on file")
        return script

    async def load(self) -> None:
        """Read the approved scripts; the contract's own is put on file when there is none."""
        found = await self._read()
        if not found:
            async with self._database.transaction() as session:
                await file_contract_script(session, self._clock.now())
            found = await self._read()
        if found != self._approved:
            self._approved = found
            log.info("call_scripts_read", approved=len(found), in_force=self.version)
            self._loaded()

    async def _read(self) -> tuple[Approved, ...]:
        columns = (CallScript.version, CallScript.caller_id, CallScript.greeting, CallScript.effective_at)
        query = select(*columns).where(CallScript.state == "approved").order_by(CallScript.version)
        async with self._database.reading() as session:
            rows = (await session.execute(query)).all()
        return tuple(Approved(row[0], row[1], row[2], row[3]) for row in rows if row[3] is not None)

    async def listen(self) -> None:
        """Look whether what is in force, or will be, can be heard."""
        now = self._clock.now()
        current = in_force(self._approved, now)
        wanted = [script for script in self._approved if script == current or script.effective_at > now]
        findings = await self._audible.findings({script.version: script.greeting for script in wanted})
        if findings != (self._spoken or []):
            log.error("prompts_faulty" if findings else "prompts_well", found=list(map(str, findings))[:20])
        was, self._spoken = self._spoken, findings
        if was != findings and not findings:
            self._loaded()  # calls may be placed (again)

    def wake(self) -> None:
        """Have them read again now: one was approved here."""
        self._asked.set()

    async def run(self) -> None:
        """Read them again and again, for ever."""
        while True:
            wait = LOOK_SECONDS
            try:
                await self.load()
                await self.listen()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("call_scripts_unread", error=repr(error))
                wait = _OUTAGE_SECONDS
            await signalled(self._asked, self._clock, wait)
