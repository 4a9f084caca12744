"""Placing calls: a claim is committed before the phone can ring, and nothing repeats what followed (B5)."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import bindparam, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.ami import NotSent, Refused, Unknown, UnsafeValue
from services.common.bus import emit
from services.common.clock import Clock
from services.common.crypto import Keys, SealBroken
from services.common.database import Database, is_outage, rows_changed
from services.common.events import CallMode
from services.common.membership import among
from services.common.pace import Pace
from services.common.phones import InvalidPhone
from services.common.speech import UnspeakablePlateError, speak
from services.outbound.attempts import Trigger, origins
from services.outbound.callees import context, digits_to_dial
from services.outbound.guard.gate import Gate
from services.outbound.guard.refusals import withhold
from services.outbound.instances import Lease
from services.outbound.journal import Journal
from services.outbound.lines import Lines, Route
from services.outbound.metrics import ATTEMPTS as ATTEMPTS_ENDED
from services.outbound.metrics import CONTACTS as CONTACTS_CONCLUDED
from services.outbound.pbx import Call, Pbx
from services.outbound.records import AttemptRecord, Change
from services.outbound.rows import ATTEMPTS, CONTACTS, RECORD_COLUMNS, StaleRecord, record_of
from services.outbound.scripts.machine import Approved
from services.outbound.scripts.watch import Scripts
from services.outbound.seats import connection
from services.outbound.switchboard import Switchboard
from services.outbound.waiting import signalled

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 5.0
"""How often the queue is looked at unasked, for what an instance that died left in it."""
_OUTAGE_SECONDS: Final = 0.5


_NEXT_IN_QUEUE: Final = (
    select(
        *RECORD_COLUMNS,
        CONTACTS.c.plate_sealed,
        CONTACTS.c.numbers_sealed,
        CONTACTS.c.callees,
        CONTACTS.c.vehicle,
        CONTACTS.c.operator,
        CONTACTS.c.mode,
        CONTACTS.c.seat,
    )
    .join_from(ATTEMPTS, CONTACTS)
    .where(ATTEMPTS.c.state == "queued")
    .order_by(ATTEMPTS.c.due_at)
    .limit(bindparam("lines"))
    .with_for_update(of=ATTEMPTS, skip_locked=True)
)
_CLAIMS_LOCK: Final = 0x6D6F7665
"""Any number that nothing else locks by."""
_TURN: Final = (
    select(func.pg_advisory_xact_lock(_CLAIMS_LOCK).label("taken")).cte("turn").prefix_with("MATERIALIZED")
)
_NEXT_IN_TURN: Final = _NEXT_IN_QUEUE.join(_TURN, true())
"""The same, while no other instance claims: two could both count one call too few, and both place the last
that a limit allows. The lock comes with the statement before the count, whose snapshot is then taken after
whoever held the lock has committed. What others claimed while this one waited, it does not get: their rows
are no longer as they were. (SQLite has one writer at a time anyway.)"""
_CLAIM: Final = (
    update(ATTEMPTS)
    .where(among(ATTEMPTS.c.id, "ids"), ATTEMPTS.c.state.in_(origins(Trigger.CLAIMED)))
    .values(
        state="dialing",
        version=ATTEMPTS.c.version + 1,
        claimed_by=bindparam("instance"),
        node=bindparam("on_node"),
        trunk=bindparam("over_trunk"),
        dialed_at=bindparam("now"),
        script_version=bindparam("script"),
        operator=select(CONTACTS.c.operator).where(CONTACTS.c.id == ATTEMPTS.c.contact_id).scalar_subquery(),
    )
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An attempt of ours, committed, and what is needed to dial it; sealed until then."""

    record: AttemptRecord
    plate_sealed: str
    number_sealed: str
    script: Approved
    mode: CallMode
    operator: str
    """Username of the operator whose case it is."""
    route: Route
    since: float
    """Monotonic seconds before the claim was made."""


class Dialer:
    """Takes due attempts from the queue whenever a line is free, many in one transaction, and places them.

    Which Asterisk and which trunk each goes over is committed with the claim, so that any instance can ask
    that Asterisk what became of it.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keys: Keys,
        nodes: Mapping[str, Pbx],
        switchboard: Switchboard,
        journal: Journal,
        lines: Lines,
        scripts: Scripts,
        gate: Gate,
        lease: Lease,
        *,
        instance: str,
        ring_seconds: float,
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._nodes = nodes
        self._switchboard = switchboard
        self._journal = journal
        self._lines = lines
        self._scripts = scripts
        self._gate = gate
        in_turn = gate.limits_anything and database.dialect == "postgresql"
        self._next = _NEXT_IN_TURN if in_turn else _NEXT_IN_QUEUE
        self._lease = lease
        self._instance = instance
        self._ring_seconds = ring_seconds
        self._pace = Pace(each=0.005, longest=0.1)
        self._look_at: datetime = clock.now()
        self._placing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Dial for ever, never more at a time than there are lines."""
        while True:
            wait = _LOOK_SECONDS
            if self._lease.held and self._switchboard.free:
                if self._lines.queue_grew or self._clock.now() >= self._look_at:
                    await self._dial_due()
                wait = (self._look_at - self._clock.now()).total_seconds()
            await signalled(self._lines.changed, self._clock, wait)
            await self._pace.wait()

    async def _dial_due(self) -> None:
        self._lines.queue_grew = False
        if self._scripts.silent_because:
            # Nobody is rung to hear nothing; `Scripts` wakes us when the prompts are there.
            self._look_at = self._clock.now() + timedelta(seconds=_LOOK_SECONDS)
            return
        try:
            claimed, self._look_at = await self.claim(self._switchboard.free)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("dialer_waits", error=repr(error))
            self._look_at = self._clock.now() + timedelta(seconds=_OUTAGE_SECONDS)
            return
        self._pace.begin(len(claimed))
        for call in claimed:
            self._place(call)

    async def claim(self, limit: int) -> tuple[list[Claimed], datetime]:
        """Take up to `limit` due attempts; return them, committed, and when to look at the queue again.

        What the guard withholds is ended in the same transaction. The script in force now is committed with
        the claim, and is what the owner hears, whatever takes effect meanwhile (B3).
        """
        now = self._clock.now()
        script = await self._scripts.current(now)
        refused = 0
        reserved: dict[str, Claimed] = {}
        try:
            async with self._database.transaction() as session:
                rows = (await session.execute(self._next, {"lines": limit})).all()
                due = [row for row in rows if row.due_at <= now]
                # Their lines are taken here already: what is found out meanwhile passes over them.
                for row in due:
                    if call := self._reserved(row, script):
                        reserved[row.id] = call
                judged = await self._gate.sort(
                    session,
                    [row for row in due if row.id in reserved],
                    [call.route.trunk for call in reserved.values()],
                    now,
                )
                claimed = [reserved[row.id] for row in judged.allowed]
                if judged.withheld:
                    refused = await withhold(session, judged.withheld, now)
                if claimed:
                    await self._claim(session, claimed, script.version, now)
        except BaseException:
            self._switchboard.give_back(reserved)
            raise
        if refused:
            ATTEMPTS_ENDED.labels("withheld").inc(refused)
            CONTACTS_CONCLUDED.labels("withheld").inc(refused)
        full = len(reserved) == limit
        if len(claimed) < len(reserved):
            self._switchboard.give_back(reserved.keys() - {call.record.id for call in claimed})
        if full and judged.wait_until is None:
            return claimed, now
        look_at = now + timedelta(seconds=_LOOK_SECONDS)
        if judged.wait_until is not None:
            look_at = min(look_at, judged.wait_until)
        return claimed, min([look_at, *(row.due_at for row in rows[len(due) :])])

    def _reserved(self, row: Any, script: Approved) -> Claimed | None:
        record = record_of(row)
        since = self._clock.monotonic()
        route = self._switchboard.reserve(record.id, record.contact_id, record.route)
        if route is None:
            return None
        number = row.numbers_sealed[record.number_index]
        return Claimed(record, row.plate_sealed, number, script, row.mode, row.seat, route, since)

    async def _claim(
        self, session: AsyncSession, calls: Sequence[Claimed], script: int, now: datetime
    ) -> None:
        routes: dict[Route, list[str]] = defaultdict(list)
        for call in calls:
            routes[call.route].append(call.record.id)
            call.record.claim(self._instance, call.route, call.script.version, now)
        taken = 0
        for route, ids in sorted(routes.items()):
            parameters = {"ids": ids, "instance": self._instance, "now": now, "script": script}
            claim = await session.execute(
                _CLAIM, parameters | {"on_node": route.node, "over_trunk": route.trunk}
            )
            taken += rows_changed(claim)
        if taken != len(calls):
            raise StaleRecord
        await emit(session, *(call.record.snapshot(now) for call in calls))

    def _place(self, call: Claimed) -> None:
        task = asyncio.create_task(self._originate(call))
        self._placing.add(task)
        task.add_done_callback(self._placing.discard)

    async def _originate(self, call: Claimed) -> None:
        record = call.record
        try:
            self._lease.check(call.since)
            self._switchboard.asked(record.id, call.route.node)
            await self._nodes[call.route.node].originate(self._call(call))
        except NotSent as error:
            log.warning("originate_not_sent", attempt=record.id, reason=error.reason)
            self._report(record, Trigger.NOT_SENT)
        except (Refused, UnsafeValue, SealBroken, InvalidPhone, UnspeakablePlateError) as error:
            log.error("originate_refused", attempt=record.id, error=str(error))  # noqa: TRY400
            self._report(record, Trigger.REFUSED)
        except Unknown as error:
            # It may be ringing. Events, or what `recovery` finds out, tell; nobody rings again (B5).
            log.warning("originate_unknown", attempt=record.id, reason=error.reason)
        finally:
            self._switchboard.answered(record.id)
            self._lines.placing.discard(record.id)

    def _report(self, record: AttemptRecord, trigger: Trigger) -> None:
        self._journal.put([Change(record.id, trigger, self._clock.now(), claim=record.version)])

    def _call(self, call: Claimed) -> Call:
        contact_id = call.record.contact_id
        mode, seat = connection(call.mode, call.operator)
        return Call(
            attempt_id=call.record.id,
            callee=digits_to_dial(self._keys, contact_id, call.number_sealed),
            trunk=call.route.trunk,
            caller_id=call.script.caller_id,
            script=call.script.version,
            speak=speak(self._keys.open(call.plate_sealed, context(contact_id))),
            ring_seconds=self._ring_seconds,
            mode=mode,
            seat=seat,
        )

    async def close(self) -> None:
        """Let go of originates under way; what became of them is found out at the next start."""
        placing: Sequence[asyncio.Task[None]] = list(self._placing)
        for task in placing:
            task.cancel()
        await asyncio.gather(*placing, return_exceptions=True)
