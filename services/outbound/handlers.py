"""What the other services ask of the caller."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from services.common.bus import Handler, Together, emit
from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.events import (
    CallsDisowned,
    ContactConcluded,
    ContactOutcome,
    ContactRequested,
    ContactWithdrawn,
    Event,
)
from services.common.ids import new_id
from services.common.speech import UnspeakablePlateError, speak
from services.outbound.attempts import Trigger, origins
from services.outbound.callees import callable_ones, context
from services.outbound.evidence.disowned import on_calls_disowned
from services.outbound.guard import wishes
from services.outbound.records import AttemptRecord
from services.outbound.rows import ATTEMPTS, CONTACTS, NEW_ATTEMPTS, RECORD_COLUMNS, new_row, record_of
from services.outbound.scripts.watch import Scripts

log = structlog.get_logger(__name__)

_NEW_CONTACTS: Final[dict[str, ReturningInsert[str]]] = {
    name: dialect.insert(CONTACTS).on_conflict_do_nothing().returning(CONTACTS.c.id)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))
}


class Handlers:
    """Stores contacts and their first attempts. `own` numbers are never called; `wake` tells the dialer."""

    def __init__(
        self, clock: Clock, keys: Keys, scripts: Scripts, own: frozenset[str], wake: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._scripts = scripts
        self._own = own
        self._wake = wake

    async def on_contacts_requested(self, session: AsyncSession, events: Sequence[ContactRequested]) -> None:
        """Queue first calls; conclude at once where nobody may be called or the plate cannot be said."""
        now = self._clock.now()
        contacts = {event.contact_id: self._contact(event, now) for event in events}
        stored = await _store(session, contacts.values())
        first: list[dict[str, Any]] = []
        concluded: list[ContactConcluded] = []
        for contact_id in stored:  # the others were asked for before, or withdrawn before they were asked for
            contact = contacts[contact_id]
            if contact["outcome"]:
                concluded.append(
                    ContactConcluded(
                        occurred_at=now,
                        case_id=contact["case_id"],
                        contact_id=contact_id,
                        outcome=contact["outcome"],
                    )
                )
            else:
                attempt = AttemptRecord(
                    id=new_id(),
                    contact_id=contact_id,
                    case_id=contact["case_id"],
                    number=1,
                    number_index=0,
                    script_version=self._scripts.version,  # until it is claimed
                    queued_at=now,
                    due_at=now,
                )
                first.append(new_row(attempt, contact["callees"][0]))
        if first:
            # Not told to the others: `dialing` follows as soon as a line is free.
            await session.execute(NEW_ATTEMPTS, first)
            sqlalchemy_event.listen(session.sync_session, "after_commit", lambda _: self._wake(), once=True)
        if concluded:
            await emit(session, *concluded)

    def _contact(self, event: ContactRequested, now: datetime) -> dict[str, Any]:
        callees = callable_ones(self._keys, event.contact_id, event.numbers_sealed, self._own)
        outcome = self._hopeless(event, callees.indexes)
        return {
            "id": event.contact_id,
            "case_id": event.case_id,
            "mode": event.mode,
            "vehicle": event.vehicle,
            "operator": event.operator,
            "seat": event.seat,
            "plate_sealed": event.plate_sealed,
            "numbers_sealed": callees.sealed,
            "callees": callees.indexes,
            "outcome": outcome,
            "requested_at": event.occurred_at,
            "concluded_at": now if outcome else None,
        }

    def _hopeless(self, event: ContactRequested, callees: list[str]) -> ContactOutcome | None:
        if not callees:
            return "no_numbers"
        try:
            speak(self._keys.open(event.plate_sealed, context(event.contact_id)))
        except UnspeakablePlateError as error:
            log.error("plate_unspeakable", contact=event.contact_id, error=str(error))  # noqa: TRY400
            return "failed"
        return None

    async def on_contact_withdrawn(self, session: AsyncSession, event: ContactWithdrawn) -> None:
        """Cancel what is queued: it ends without an outcome, as nobody was rung. A live call goes on."""
        now = self._clock.now()
        # A request that is still to come (it was set aside, and is replayed later) finds itself withdrawn.
        tombstone = {
            "id": event.contact_id,
            "case_id": event.case_id,
            "plate_sealed": "",
            "numbers_sealed": [],
            "callees": [],
            "requested_at": now,
        }
        await _store(session, [tombstone])
        # The contact's row first: who is writing a further attempt holds it, and we see that attempt then.
        await session.execute(
            update(CONTACTS)
            .where(CONTACTS.c.id == event.contact_id, CONTACTS.c.withdrawn_at.is_(None))
            .values(withdrawn_at=now)
        )
        cancelled = await session.execute(
            update(ATTEMPTS)
            .where(
                ATTEMPTS.c.contact_id == event.contact_id,
                ATTEMPTS.c.state.in_(origins(Trigger.WITHDRAWN)),
            )
            .values(state="ended", ended_at=now, version=ATTEMPTS.c.version + 1)
            .returning(ATTEMPTS.c.id)
        )
        ids = list(cancelled.scalars())
        if ids:
            rows = await session.execute(
                select(*RECORD_COLUMNS).join_from(ATTEMPTS, CONTACTS).where(ATTEMPTS.c.id.in_(ids))
            )
            await emit(session, *(record_of(row).snapshot(now) for row in rows))

    @property
    def table(self) -> dict[type[Event], Handler]:
        """Event → what is done about it."""
        return {
            ContactRequested: Together(self.on_contacts_requested),
            ContactWithdrawn: self.on_contact_withdrawn,
            **wishes.TABLE,
            CallsDisowned: on_calls_disowned,
        }


async def _store(session: AsyncSession, contacts: Iterable[dict[str, Any]]) -> Sequence[str]:
    """Store the contacts that are not there yet; return their ids."""
    statement = _NEW_CONTACTS[session.get_bind().dialect.name]
    return (await session.scalars(statement, list(contacts))).all()
