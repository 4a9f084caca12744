"""Attempts and contacts as rows: the statements, each built once, and rows to records and back."""

from typing import Any, Final, cast

from sqlalchemy import Table, bindparam, insert, select, update

from services.common.membership import among
from services.outbound.models import Attempt, Contact
from services.outbound.records import AttemptRecord

ATTEMPTS: Final = cast(Table, Attempt.__table__)
CONTACTS: Final = cast(Table, Contact.__table__)

_IDENTITY: Final = ("id", "contact_id", "number", "number_index", "script_version", "queued_at")
PROGRESS: Final = (
    "state",
    "outcome",
    "version",
    "claimed_by",
    "due_at",
    "dialed_at",
    "answered_at",
    "greeting_started_at",
    "greeting_ended_at",
    "greetings_ended",
    "prompt_failed_at",
    "key",
    "key_at",
    "ended_at",
    "hangup_cause",
    "sip_status",
    "reason",
    "node",
    "trunk",
    "bridged_at",
    "moved",
)
RECORD_COLUMNS: Final = (*(ATTEMPTS.c[name] for name in (*_IDENTITY, *PROGRESS)), CONTACTS.c.case_id)
"""Columns to select for `record_of`, from attempts joined with their contacts."""

LOAD: Final = (
    select(
        *RECORD_COLUMNS, CONTACTS.c.outcome.label("concluded"), CONTACTS.c.withdrawn_at, CONTACTS.c.callees
    )
    .join_from(ATTEMPTS, CONTACTS)
    .where(among(ATTEMPTS.c.id, "ids"))
    # The contact is locked too: a withdrawal that is being written would not see the attempt created here.
    # In one order everywhere, or two instances could wait for each other.
    .order_by(ATTEMPTS.c.id)
    .with_for_update()
)
WRITE: Final = (
    update(ATTEMPTS)
    .where(ATTEMPTS.c.id == bindparam("row_id"), ATTEMPTS.c.version == bindparam("row_version"))
    .values({name: bindparam(f"new_{name}") for name in PROGRESS})
)
CONCLUDE: Final = (
    update(CONTACTS)
    .where(CONTACTS.c.id == bindparam("row_id"), CONTACTS.c.outcome.is_(None))
    .values(outcome=bindparam("new_outcome"), concluded_at=bindparam("new_concluded_at"))
)
TRIES: Final = (
    select(
        *(ATTEMPTS.c[name] for name in ("id", "contact_id", "number_index", "outcome")),
        *(ATTEMPTS.c[name] for name in ("node", "trunk", "moved")),
    )
    .where(among(ATTEMPTS.c.contact_id, "contacts"), ATTEMPTS.c.outcome.is_not(None))
    .order_by(ATTEMPTS.c.contact_id, ATTEMPTS.c.number)
)
NEW_ATTEMPTS: Final = insert(ATTEMPTS)
"""Takes the columns of `new_row`."""


class StaleRecord(Exception):
    """A row was changed by someone else under our lock."""


def record_of(row: Any) -> AttemptRecord:
    """Return the attempt of a row of `RECORD_COLUMNS`."""
    values = row._mapping
    return AttemptRecord(
        case_id=values["case_id"],
        **{column.name: values[column] for column in RECORD_COLUMNS[:-1]},
    )


def new_row(record: AttemptRecord, callee: str) -> dict[str, Any]:
    """Return the columns of an attempt that is not in the table yet."""
    return {name: getattr(record, name) for name in (*_IDENTITY, *PROGRESS)} | {"callee": callee}
