"""What is asked of and shown from the evidence: incidents, call records, a window's comparison."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from services.common.http.endpoint import Body
from services.common.http.paging import Cursor, Limit
from services.common.http.times import Moment
from services.common.text import Line, Token

AttemptId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class IncidentsQuery(Body):
    """Which incidents to list."""

    status: Literal["open", "closed"] | None = None
    kind: Token | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class CloseIncident(Body):
    """What was found out, and done."""

    note: Line


class IncidentAnswer(BaseModel):
    """Something that a person has to look at. `subject` is the id of an attempt or a channel, or a name."""

    id: str
    kind: str
    subject: str
    status: Literal["open", "closed"]
    detail: dict[str, Any]
    opened_at: Moment
    closed_at: Moment | None
    closed_by: str | None
    note: str


class IncidentPage(BaseModel):
    """Incidents, newest first; `next` is the cursor of the next page, null on the last."""

    items: list[IncidentAnswer]
    next: str | None


class CallRecordsQuery(Body):
    """Which of the switch's records to list; by when the calls began."""

    from_: AwareDatetime | None = Field(default=None, alias="from")
    to: AwareDatetime | None = None
    attempt: AttemptId | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class CallRecordAnswer(BaseModel):
    """What the switch wrote down about one channel; `duration` and `billed` in seconds."""

    id: str
    node: str
    attempt_id: str | None
    unique_id: str
    linked_id: str
    channel: str
    started_at: Moment
    answered_at: Moment | None
    ended_at: Moment
    duration: float
    billed: float
    disposition: str
    sequence: int
    collected_at: Moment


class CallRecordPage(BaseModel):
    """Call records, newest first; `next` is the cursor of the next page, null on the last."""

    items: list[CallRecordAnswer]
    next: str | None


class WindowQuery(Body):
    """The window to compare, at most 7 days."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime


class MismatchAnswer(BaseModel):
    """Something that disagrees."""

    kind: str
    subject: str
    case_id: str
    detail: dict[str, Any]


class ReconciliationAnswer(BaseModel):
    """What a window's comparison shows.

    attempts: dialled in it and over; pending: not over yet, or just now. placed: calls to owners by the
    switch's records; with_attempt, with_case, answered, recorded: how many of them.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Moment = Field(serialization_alias="from")
    to: Moment
    attempts: int
    pending: int
    placed: int
    with_attempt: int
    with_case: int
    answered: int
    recorded: int
    mismatches: dict[str, int] = Field(description="Kind → how many")
    shown: list[MismatchAnswer] = Field(description="The first 200 of them")


def shown_moment(text: str) -> datetime:
    """Read the moment of a cursor. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a naive moment")
    return moment
