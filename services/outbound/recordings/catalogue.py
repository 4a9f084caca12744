"""Recordings as rows: which calls should have one, what became of it, who is told (B8)."""

from collections.abc import Collection, Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from sqlalchemy import Row, Table, bindparam, exists, func, or_, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus import emit
from services.common.crypto import Keys
from services.common.events import RecordingKept
from services.common.membership import among, shares
from services.outbound.incidents import close_incident, open_incident
from services.outbound.models import Incident
from services.outbound.recordings.keeper import Call, Kept
from services.outbound.recordings.models import AttemptRecording
from services.outbound.rows import ATTEMPTS, CONTACTS

MISSING: Final = "recording_missing"
DAMAGED: Final = "recording_damaged"
_RECORDINGS: Final = cast(Table, AttemptRecording.__table__)
_SAID_NOTHING: Final = ("hung_up", "failed", "unknown")
"""Outcomes of answered calls that may have ended before the recording was begun."""

_CALLS: Final = (
    select(
        ATTEMPTS.c.id,
        ATTEMPTS.c.callee,
        ATTEMPTS.c.outcome,
        ATTEMPTS.c.answered_at,
        ATTEMPTS.c.ended_at,
        CONTACTS.c.case_id,
        CONTACTS.c.operator,
        _RECORDINGS.c.state,
        _RECORDINGS.c.sha256,
    )
    .join_from(ATTEMPTS, CONTACTS)
    .outerjoin(_RECORDINGS)
)
_OF_FILES: Final = _CALLS.add_columns(ATTEMPTS.c.state.label("call_state")).where(among(ATTEMPTS.c.id, "ids"))
_ANSWERED: Final = ATTEMPTS.c.answered_at.is_not(None) & ATTEMPTS.c.ended_at.is_not(None)
_FIRST_UNACCOUNTED: Final = select(func.min(ATTEMPTS.c.ended_at)).where(
    _ANSWERED, ~exists().where(_RECORDINGS.c.attempt_id == ATTEMPTS.c.id)
)
_ENDED_BETWEEN: Final = (
    _CALLS.add_columns(
        or_(ATTEMPTS.c.greeting_started_at.is_not(None), ATTEMPTS.c.outcome.not_in(_SAID_NOTHING)).label(
            "heard"
        )
    )
    .where(
        _ANSWERED,
        ATTEMPTS.c.ended_at >= bindparam("since"),
        ATTEMPTS.c.ended_at < bindparam("until"),
        _RECORDINGS.c.attempt_id.is_(None),
    )
    .order_by(ATTEMPTS.c.ended_at)
    .limit(10_000)
)
_KNOWN_MISSING: Final = select(Incident.subject).where(
    Incident.kind == MISSING,
    Incident.closed_at.is_(None),
    among(Incident.subject, "subjects"),
)


def _settle(make: Any) -> Any:
    statement = make(_RECORDINGS)
    return statement.on_conflict_do_update(
        index_elements=[_RECORDINGS.c.attempt_id],
        set_={
            column.name: statement.excluded[column.name]
            for column in _RECORDINGS.columns
            if not column.primary_key
        },
        # What is kept stays as it is; what was given up may turn up.
        where=text("outbound_recordings.state IN ('missing', 'none')"),
    ).returning(_RECORDINGS.c.attempt_id)


_SETTLE: Final = {"postgresql": _settle(postgresql.insert), "sqlite": _settle(sqlite.insert)}


class Catalogue:
    """Reads and writes what is known of recordings, in the caller's transactions."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def calls_of(
        self, session: AsyncSession, attempts: Collection[str]
    ) -> tuple[list[Call], frozenset[str]]:
        """Return the calls that have ended among these attempts, and which are no attempts at all."""
        ended: list[Call] = []
        strangers = set(attempts)
        for share in shares(attempts):
            for row in await session.execute(_OF_FILES, {"ids": share}):
                strangers.discard(row.id)
                if row.call_state == "ended":
                    ended.append(self._call(row))
        return ended, frozenset(strangers)

    async def unaccounted_since(self, session: AsyncSession) -> datetime | None:
        """Return when the first answered call ended whose recording's fate is not known; None: all are."""
        found: datetime | None = await session.scalar(_FIRST_UNACCOUNTED)
        return found

    async def unaccounted(
        self, session: AsyncSession, since: datetime, until: datetime, present: Container[str]
    ) -> list[tuple[Call, bool]]:
        """Return answered calls that ended in this time and left nothing, nor have a file among `present`.

        Beside each: whether it must have been recorded.
        """
        rows = await session.execute(_ENDED_BETWEEN, {"since": since, "until": until})
        return [(self._call(row), bool(row.heard)) for row in rows if row.id not in present]

    async def settle_kept(self, session: AsyncSession, kept: Sequence[Kept], now: datetime) -> set[str]:
        """Write down what was stored, tell the operators' side, open and close incidents.

        This and its neighbours return the attempts of which something new was written.
        """
        fresh = await self._write(
            session,
            (
                self._row(item.call, "damaged" if item.fault else "kept", now)
                | {
                    "fault": item.fault,
                    "path": item.call.path,
                    "size": item.digest.size,
                    "sha256": item.digest.sha256,
                    "format": item.format,
                    "seconds": item.seconds,
                }
                for item in kept
            ),
        )
        told = [item for item in kept if item.call.attempt_id in fresh]
        if told:
            await emit(session, *(_event(item, now) for item in told))
        await _found_again(session, fresh, now)
        for item in told:
            if item.fault:
                await open_incident(
                    session,
                    DAMAGED,
                    item.call.attempt_id,
                    now,
                    case_id=item.call.case_id,
                    detail={
                        "fault": item.fault,
                        "size": item.digest.size,
                        "seconds": item.seconds,
                        "call_seconds": item.call.seconds,
                    },
                )
        return fresh

    async def settle_silent(self, session: AsyncSession, calls: Iterable[Call], now: datetime) -> set[str]:
        """Write down that nothing was said in these calls."""
        fresh = await self._write(session, (self._row(call, "none", now) for call in calls))
        await _found_again(session, fresh, now)
        return fresh

    async def settle_missing(self, session: AsyncSession, calls: Iterable[Call], now: datetime) -> set[str]:
        """Write down that these calls were recorded and the recording is not there."""
        missing = list(calls)
        fresh = await self._write(session, (self._row(call, "missing", now) for call in missing))
        for call in missing:
            if call.attempt_id in fresh:
                await open_incident(
                    session,
                    MISSING,
                    call.attempt_id,
                    now,
                    case_id=call.case_id,
                    detail={"call_seconds": call.seconds},
                )
        return fresh

    async def _write(self, session: AsyncSession, rows: Iterable[dict[str, Any]]) -> set[str]:
        """Write rows; return which of them say something new."""
        # In one order everywhere, or two instances could wait for each other.
        ordered = sorted(rows, key=lambda row: str(row["attempt_id"]))
        if not ordered:
            return set()
        statement = _SETTLE[session.get_bind().dialect.name]
        return set(await session.scalars(statement, ordered))

    def _row(self, call: Call, state: str, now: datetime) -> dict[str, Any]:
        nothing: dict[str, Any] = dict.fromkeys(("fault", "path", "size", "sha256", "format", "seconds"))
        return nothing | {
            "attempt_id": call.attempt_id,
            "id": call.recording_id,
            "state": state,
            "settled_at": now,
        }

    def _call(self, row: Row[Any]) -> Call:
        return Call(
            attempt_id=row.id,
            # The same one whenever the recording is found: a repeat overwrites, and makes no second file.
            recording_id=self._keys.index("recording", row.id),
            case_id=row.case_id,
            operator=row.operator,
            callee=row.callee,
            outcome=row.outcome,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            state=row.state,
            sha256=row.sha256,
        )


async def _found_again(session: AsyncSession, attempts: Collection[str], now: datetime) -> None:
    """Close the incidents of recordings that were missing and have turned up."""
    if attempts:
        for subject in (await session.scalars(_KNOWN_MISSING, {"subjects": list(attempts)})).all():
            await close_incident(session, MISSING, subject, now)


def _event(kept: Kept, now: datetime) -> RecordingKept:
    call = kept.call
    return RecordingKept(
        occurred_at=now,
        case_id=call.case_id,
        recording_id=call.recording_id,
        attempt_id=call.attempt_id,
        operator=call.operator,
        callee=call.callee,
        started_at=call.answered_at or call.ended_at - timedelta(seconds=kept.seconds),
        ended_at=call.ended_at,
        seconds=kept.seconds,
        size=kept.digest.size,
        sha256=kept.digest.sha256,
        format=kept.format,
        path=call.path,
        fault=kept.fault,
    )
