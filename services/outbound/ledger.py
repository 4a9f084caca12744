"""Changes → rows, events and the next step, in the caller's transaction: few statements for many attempts."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.database import rows_changed
from services.common.events import AttemptOutcome, ContactConcluded, ContactOutcome, Event
from services.common.ids import new_id
from services.common.settings import RedialRules
from services.outbound.attempts import UP, IllegalTransition
from services.outbound.lines import Route
from services.outbound.metrics import FAULTS
from services.outbound.records import AttemptRecord, Change
from services.outbound.redial import ANSWERS, Conclude, Redial, Try, next_step
from services.outbound.rows import (
    CONCLUDE,
    LOAD,
    NEW_ATTEMPTS,
    PROGRESS,
    TRIES,
    WRITE,
    StaleRecord,
    new_row,
    record_of,
)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Written:
    """What a transaction did, for those who act after its commit."""

    over: set[str] = field(default_factory=set)
    """Attempts that occupy no line any more: ended, or back in the queue."""
    outcomes: list[AttemptOutcome] = field(default_factory=list)
    concluded: list[ContactOutcome] = field(default_factory=list)
    moved: int = 0
    """Calls that were offered to another trunk."""
    queued: bool = False
    """Whether an attempt waits in the queue that did not before."""


@dataclass(frozen=True, slots=True)
class _Contact:
    concluded: str | None
    withdrawn_at: datetime | None
    callees: list[str]


@dataclass(slots=True)
class _Loaded:
    record: AttemptRecord
    contact: _Contact
    version: int
    shown: tuple[str, str | None, datetime | None]
    changed_at: datetime | None = None
    triggers: list[str] = field(default_factory=list)

    @property
    def is_news(self) -> bool:
        """Whether the other services see a difference."""
        return self.shown != _shown(self.record)

    @property
    def transition(self) -> str:
        """What happened, for the log: `from -[triggers]> to`."""
        return f"{self.shown[0]} -[{' '.join(self.triggers)}]> {self.record.state}"

    @property
    def is_decided(self) -> bool:
        """Whether the outcome has just become known."""
        return self.shown[1] is None and self.record.outcome is not None


class Ledger:
    """Writes changes under the redial rules (B6)."""

    def __init__(self, rules: RedialRules, routes: Callable[[], Sequence[Route]] = tuple) -> None:
        """`routes` tells where calls can go now, the preferred first."""
        self._rules = rules
        self._routes = routes

    async def write(self, session: AsyncSession, changes: Sequence[Change]) -> Written:
        """Apply changes, in order; emit `AttemptChanged` and `ContactConcluded`; queue what follows (B6).

        A change that is illegal for its attempt is logged and counted as a fault, and the others are written.
        """
        loaded = await _load(session, {change.attempt_id for change in changes})
        for change in changes:
            _advance(loaded, change)
        written = Written()
        # Also what was ended before: a commit may have succeeded although we heard otherwise.
        written.over = {item.record.id for item in loaded.values() if item.record.state not in UP}
        touched = [item for item in loaded.values() if item.changed_at is not None]
        if not touched:
            return written
        await _write(session, touched)
        written.queued = any(item.record.state == "queued" for item in touched)
        events: list[Event] = []
        for item in touched:
            if item.is_news:
                events.append(item.record.snapshot(cast(datetime, item.changed_at)))
                log.info("attempt", id=item.record.id, transition=item.transition)
        decided = [item for item in touched if item.is_decided]
        written.outcomes = [item.record.outcome for item in decided if item.record.outcome]
        await self._follow_up(session, decided, events, written)
        if events:
            await emit(session, *events)
        return written

    async def _follow_up(
        self, session: AsyncSession, decided: Sequence[_Loaded], events: list[Event], written: Written
    ) -> None:
        open_ = [item for item in decided if item.contact.concluded is None]
        earlier = await _earlier_tries(session, open_)
        conclusions: list[dict[str, Any]] = []
        queued: list[dict[str, Any]] = []
        for item in open_:
            record, contact = item.record, item.contact
            tries = [
                *earlier.get(record.contact_id, ()),
                Try(
                    record.number_index,
                    record.outcome or "unknown",
                    record.route,
                    record.moved,
                    record.unrung,
                ),
            ]
            routes = self._routes() if record.unrung else ()
            step = next_step(tries, self._rules, len(contact.callees), routes)
            at = cast(datetime, item.changed_at)
            if contact.withdrawn_at is not None and record.outcome not in ANSWERS:
                continue  # nobody waits for this owner any more; only what the owner decided is still told
            match step:
                case Redial():
                    following = self._next_attempt(record, step, at)
                    if step.route is not None:
                        written.moved += 1
                        log.warning("call_moved", attempt=record.id, to=following.id, reason=record.reason)
                    queued.append(new_row(following, contact.callees[step.number_index]))
                    events.append(following.snapshot(at))
                case Conclude(outcome=outcome):
                    conclusions.append(
                        {"row_id": record.contact_id, "new_outcome": outcome, "new_concluded_at": at}
                    )
                    events.append(
                        ContactConcluded(
                            occurred_at=at,
                            case_id=record.case_id,
                            contact_id=record.contact_id,
                            outcome=outcome,
                            reason=record.concluding_reason,
                        )
                    )
                    written.concluded.append(outcome)
        if conclusions:
            await session.execute(CONCLUDE, conclusions)
        if queued:
            await session.execute(NEW_ATTEMPTS, queued)
            written.queued = True

    def _next_attempt(self, last: AttemptRecord, step: Redial, at: datetime) -> AttemptRecord:
        return AttemptRecord(
            id=new_id(),
            contact_id=last.contact_id,
            case_id=last.case_id,
            number=last.number + 1,
            number_index=step.number_index,
            script_version=last.script_version,  # until it is claimed
            queued_at=at,
            due_at=at + timedelta(seconds=step.wait),
            node=step.route.node if step.route else None,
            trunk=step.route.trunk if step.route else None,
            moved=step.route is not None,
        )


def _shown(record: AttemptRecord) -> tuple[str, str | None, datetime | None]:
    return record.state, record.outcome, record.bridged_at


def _advance(loaded: Mapping[str, _Loaded], change: Change) -> None:
    item = loaded.get(change.attempt_id)
    if item is None:
        FAULTS.labels("unknown_attempt").inc()
        log.error("unknown_attempt", attempt=change.attempt_id, trigger=change.trigger)
        return
    try:
        if item.record.advance(change):
            item.changed_at = change.at
            item.triggers.append(change.trigger)
    except IllegalTransition as error:
        FAULTS.labels("illegal_transition").inc()
        log.error("illegal_transition", attempt=change.attempt_id, transition=str(error))  # noqa: TRY400


async def _load(session: AsyncSession, ids: set[str]) -> dict[str, _Loaded]:
    rows = await session.execute(LOAD, {"ids": list(ids)})
    loaded = {}
    for row in rows:
        record = record_of(row)
        contact = _Contact(row.concluded, row.withdrawn_at, row.callees)
        loaded[record.id] = _Loaded(record, contact, record.version, _shown(record))
    return loaded


async def _write(session: AsyncSession, touched: Sequence[_Loaded]) -> None:
    rows = []
    for item in touched:
        item.record.version += 1
        row: dict[str, Any] = {f"new_{name}": getattr(item.record, name) for name in PROGRESS}
        row["row_id"], row["row_version"] = item.record.id, item.version
        rows.append(row)
    changed = rows_changed(await session.execute(WRITE, rows))
    # asyncpg does not count over many rows (-1); there the row locks of `LOAD` are the guard.
    if changed not in {-1, len(rows)}:
        raise StaleRecord


async def _earlier_tries(session: AsyncSession, decided: Sequence[_Loaded]) -> dict[str, list[Try]]:
    """Earlier tries, in order, of the contacts whose next step depends on them."""
    contacts = {
        item.record.contact_id
        for item in decided
        if item.record.number > 1 and item.record.outcome not in ANSWERS
    }
    tries: dict[str, list[Try]] = defaultdict(list)
    if contacts:
        latest = {item.record.id for item in decided}
        for row in await session.execute(TRIES, {"contacts": list(contacts)}):
            if row.id not in latest:
                route = Route(row.node, row.trunk) if row.node and row.trunk else None
                tries[row.contact_id].append(Try(row.number_index, row.outcome, route, row.moved))
    return tries
