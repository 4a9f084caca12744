"""Call scripts as the API reads and writes them."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, model_validator

from services.common.http.inputs import Body
from services.common.http.paging import Cursor, Limit
from services.common.http.times import Moment
from services.common.text import Line, Note
from services.outbound.scripts.machine import Approved, Standing, standing
from services.outbound.scripts.models import CallScript, NoticeFile, ScriptHistory
from services.outbound.scripts.notices import MAX_BYTES, MediaType, Scan, read_scan
from services.outbound.scripts.wording import MAX_GREETING, check_greeting


def _file_name(name: str) -> str:
    if "/" in name or name.startswith("."):
        raise ValueError("应为文件名，不含路径")
    return name


class NoticeScan(Body):
    """The scanned notice: a PDF, PNG or JPEG file of at most 4 MiB, in base64."""

    name: Annotated[Line, Field(max_length=120), AfterValidator(_file_name)]
    media_type: MediaType
    content_base64: Annotated[str, Field(min_length=1, max_length=MAX_BYTES * 4 // 3 + 4)]

    @model_validator(mode="after")
    def _is_what_it_says(self) -> "NoticeScan":
        self.scan()
        return self

    def scan(self) -> Scan:
        """Return the file. Raises BadScan."""
        return read_scan(self.name, self.media_type, self.content_base64)


class NewScript(Body):
    """A caller ID and a greeting as a written notice of the command centre asks for them (B3)."""

    caller_id: Annotated[str, Field(pattern=r"^[0-9]{3,12}$")]
    greeting: Annotated[str, Field(min_length=1, max_length=MAX_GREETING), AfterValidator(check_greeting)]
    notice_number: Annotated[Line, Field(max_length=80)]
    notice_date: date
    effective_from: AwareDatetime
    notice_file: NoticeScan


class Decision(Body):
    """Why a draft is rejected or withdrawn."""

    note: Note = ""


class ScriptsQuery(Body):
    """Which part of the list."""

    limit: Limit = 50
    cursor: Cursor | None = None


class NoticeView(BaseModel):
    """The notice's scan; its content is at `/call-scripts/{id}/notice`."""

    name: str
    media_type: str
    size: int
    sha256: str


class HistoryView(BaseModel):
    """One line of the history."""

    at: Moment
    by: str
    action: str
    detail: dict[str, Any]


class ScriptView(BaseModel):
    """A call script. `version` is what attempts name; `effective_at` when it takes or took effect."""

    id: str
    version: int
    status: Standing
    caller_id: str
    greeting: str
    notice_number: str
    notice_date: date | None
    notice_file: NoticeView | None
    effective_from: Moment
    effective_at: Moment | None
    drafted_by: str
    drafted_at: Moment
    approved_by: str | None
    approved_at: Moment | None
    history: list[HistoryView] | None = None
    """Only of a single script."""


class ScriptPage(BaseModel):
    """Some call scripts, newest first."""

    items: list[ScriptView]
    next: str | None


def script_view(
    script: CallScript,
    notice: NoticeFile | None,
    current: Approved | None,
    history: list[ScriptHistory] | None = None,
) -> ScriptView:
    """Return a script as it stands while `current` is in force."""
    return ScriptView(
        id=script.id,
        version=script.version,
        status=standing(script.state, script.version, script.effective_at, current),  # type: ignore[arg-type]
        caller_id=script.caller_id,
        greeting=script.greeting,
        notice_number=script.notice_number,
        notice_date=script.notice_date,
        notice_file=notice
        and NoticeView(
            name=notice.name, media_type=notice.media_type, size=notice.size, sha256=notice.sha256
        ),
        effective_from=script.effective_from,
        effective_at=script.effective_at,
        drafted_by=script.drafted_by,
        drafted_at=script.drafted_at,
        approved_by=script.approved_by,
        approved_at=script.approved_at,
        history=history
        and [HistoryView(at=line.at, by=line.by, action=line.action, detail=line.detail) for line in history],
    )


def is_sensible(
    effective_from: datetime, notice_date: date, now: datetime, today: date
) -> tuple[str, str] | None:
    """Return the field that makes no sense at this time and why; None when all is well."""
    if effective_from < now:
        return "effective_from", "不能早于现在"
    if (effective_from - now).days > _MAX_DAYS_AHEAD:
        return "effective_from", f"不能晚于 {_MAX_DAYS_AHEAD} 天之后"
    if notice_date > today:
        return "notice_date", "不能晚于今天"
    return None


_MAX_DAYS_AHEAD = 366
