"""Calls to the desk's line about escalations: queued with the step that asks for them, placed one at a time.

One phone is rung, so one call is made at a time, the most urgent first. A call that this process was in the
middle of when it died is `unknown`, and the chain calls again: told twice beats not told (C3).
"""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from prometheus_client import Counter
from sqlalchemy import exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.ami import AmiError
from services.common.bus import emit
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.database import Database, after_commit, is_outage, rows_changed
from services.common.events import HandOverEnded
from services.common.ids import new_id
from services.escalation.chain.policy import RANKS
from services.escalation.desk_calls.line import LONGEST_SECONDS, DeskAnswer, DeskLine
from services.escalation.desk_calls.speech import escalation_words
from services.escalation.documents import open_details
from services.escalation.escalations import Escalations
from services.escalation.machine import IllegalTransition
from services.escalation.models import DeskCall, Escalation

log = structlog.get_logger(__name__)

CALLS = Counter("movecar_desk_calls_total", "Calls to the desk's line about escalations", ["outcome"])

BY_PHONE: Final = "desk-line"
"""Who acknowledged, where a key was pressed on the desk's line."""
_JOINS_FIRST: Final = -1
"""Rank of calls that put the desk into a conversation."""
_POLL_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 2.0
_ABANDONED = timedelta(seconds=LONGEST_SECONDS + 30)


class DeskCalls:
    """Queues calls in the caller's transaction; `run` places them as long as there is a line."""

    def __init__(
        self,
        database: Database,
        escalations: Escalations,
        line: DeskLine | None,
        keys: Keys,
        clock: Clock,
        instance: str,
    ) -> None:
        self._database = database
        self._escalations = escalations
        self._line = line
        self._keys = keys
        self._clock = clock
        self._instance = instance
        self._woken = asyncio.Event()

    async def ask(self, session: AsyncSession, row: Escalation, now: datetime) -> None:
        """Queue a call about an escalation, unless one is queued or up already."""
        waiting = await session.scalar(
            select(DeskCall.id).where(DeskCall.escalation_id == row.id, DeskCall.state != "ended")
        )
        if waiting is None:
            await self._queue(session, row, now, RANKS[row.priority], "")

    async def ask_to_join(self, session: AsyncSession, row: Escalation, attempt_id: str) -> None:
        """Queue a call that puts the desk into a conversation, before all others: somebody is waiting."""
        await self._queue(session, row, self._clock.now(), _JOINS_FIRST, attempt_id)

    async def _queue(
        self, session: AsyncSession, row: Escalation, now: datetime, rank: int, joins: str
    ) -> None:
        call_id = new_id()
        words = escalation_words(row.reason, open_details(self._keys, row.id, row.details_sealed).plate)
        await session.execute(
            insert(DeskCall).values(
                id=call_id,
                escalation_id=row.id,
                rank=rank,
                joins=joins,
                say_sealed=self._keys.seal(".".join(words), f"desk_call:{call_id}"),
                state="queued",
                queued_at=now,
            )
        )
        after_commit(session, self._woken.set)

    async def run(self) -> None:
        """Place calls for ever."""
        await self._settle_abandoned(own=True)
        while True:
            self._woken.clear()
            wait = _POLL_SECONDS
            try:
                if await self._anything():
                    await self._settle_abandoned(own=False)
                    while await self.place_next():
                        pass
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("desk_calls_wait", error=repr(error))
                wait = _RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    async def _anything(self) -> bool:
        """Whether a call waits or is under way: nearly always there is none, and it is asked every second."""
        unended = select(exists().where(DeskCall.state.in_(("queued", "dialing"))))
        async with self._database.reading() as session:
            return bool(await session.scalar(unended))

    async def place_next(self) -> bool:
        """Place the most urgent call that waits and write down what came of it; False when there is none."""
        if self._line is None or not self._line.connected:
            return False
        claimed = await self._claim()
        if claimed is None:
            return False
        words = tuple(self._keys.open(claimed.say_sealed, f"desk_call:{claimed.id}").split("."))
        try:
            answer = await self._line.call(claimed.id, words, claimed.joins)
        except AmiError as error:
            log.warning("desk_call_not_placed", call=claimed.id, reason=repr(error))
            answer = DeskAnswer("failed", ended_at=self._clock.now())
        await self._write(claimed, answer)
        return True

    async def _claim(self) -> Any:
        now = self._clock.now()
        async with self._database.transaction() as session:
            await session.execute(_withdraw_settled(now))
            row = (
                await session.execute(
                    select(DeskCall.id, DeskCall.escalation_id, DeskCall.say_sealed, DeskCall.joins)
                    .where(DeskCall.state == "queued")
                    .order_by(DeskCall.rank, DeskCall.queued_at)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
            ).one_or_none()
            busy = await session.scalar(select(DeskCall.id).where(DeskCall.state == "dialing").limit(1))
            if row is None or busy is not None:
                return None
            taken = await session.execute(
                update(DeskCall)
                .where(DeskCall.id == row.id, DeskCall.state == "queued")
                .values(state="dialing", claimed_by=self._instance, dialed_at=now)
            )
            return row if rows_changed(taken) else None

    async def _write(self, call: Any, answer: DeskAnswer) -> None:
        while True:
            try:
                async with self._database.transaction() as session:
                    await self._conclude(session, call, answer)
            except Exception as error:
                if not is_outage(error):
                    raise
                # The key was pressed: that the database is away for a moment must not make it unpressed.
                log.warning("desk_call_unwritten", call=call.id, error=repr(error))
                await self._clock.sleep(_RETRY_SECONDS)
            else:
                CALLS.labels(answer.outcome).inc()
                log.info("desk_call", call=call.id, outcome=answer.outcome)
                return

    async def _conclude(self, session: AsyncSession, call: Any, answer: DeskAnswer) -> None:
        # The escalation's lock first, as everywhere.
        if answer.outcome == "acknowledged":
            with contextlib.suppress(IllegalTransition):  # dealt with on the screen while the phone rang
                await self._escalations.acknowledge(session, call.escalation_id, BY_PHONE, None)
        if call.joins:
            case_id = await session.scalar(
                select(Escalation.case_id).where(Escalation.id == call.escalation_id)
            )
            await emit(
                session,
                HandOverEnded(
                    occurred_at=self._clock.now(),
                    case_id=case_id or "",
                    escalation_id=call.escalation_id,
                    outcome=answer.outcome,
                ),
            )
        await session.execute(
            update(DeskCall)
            .where(DeskCall.id == call.id, DeskCall.state != "ended")
            .values(
                state="ended",
                outcome=answer.outcome,
                answered_at=answer.answered_at,
                key=answer.key,
                key_at=answer.key_at,
                ended_at=answer.ended_at or self._clock.now(),
            )
        )

    async def _settle_abandoned(self, *, own: bool) -> None:
        """Call the calls of a process that died `unknown`; its line is free again."""
        now = self._clock.now()
        whose = DeskCall.claimed_by == self._instance if own else DeskCall.dialed_at < now - _ABANDONED
        async with self._database.transaction() as session:
            await session.execute(
                update(DeskCall)
                .where(DeskCall.state == "dialing", whose)
                .values(state="ended", outcome="unknown", ended_at=now)
            )


def _withdraw_settled(now: datetime) -> Any:
    """End queued calls about escalations that nobody has to be called about any more."""
    settled = select(Escalation.id).where(
        Escalation.id == DeskCall.escalation_id, Escalation.status != "raised"
    )
    return (
        update(DeskCall)
        .where(DeskCall.state == "queued", DeskCall.joins == "", settled.exists())
        .values(state="ended", outcome=None, ended_at=now)
        .execution_options(synchronize_session=False)
    )
