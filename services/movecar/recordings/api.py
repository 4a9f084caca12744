"""The recording calls of the API: search and playback (B8)."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.common.http.auth import Role
from services.common.http.endpoint import API, Answer, Body, Call, Endpoint, Nothing
from services.common.http.paging import Cursor, Limit
from services.common.http.problems import invalid
from services.common.http.times import Moment
from services.common.phones import InvalidPhone, parse_chinese
from services.common.service import Kernel
from services.common.vault import Vault
from services.movecar.audit import audit
from services.movecar.recordings.audio import Audio
from services.movecar.recordings.catalogue import Wanted, find_recordings
from services.movecar.recordings.models import Recording

SEARCHERS: frozenset[Role] = frozenset({"supervisor", "auditor"})
LISTENERS: frozenset[Role] = SEARCHERS | {"desk"}
"""The desk only hears the calls of cases that it was given."""
SEARCHED = "recording.searched"


class RecordingQuery(Body):
    """Filters; all given ones must hold.

    `case` is a case's id or its number (YC…); `operator` an account's id or username; `number` the telephone
    number that was called, in any usual spelling; `from` and `to` bound the beginning (`to` excluded).
    """

    case: Annotated[str, StringConstraints(pattern=r"^(YC[0-9]{14}|[0-9a-f]{32})$")] | None = None
    from_: AwareDatetime | None = Field(default=None, alias="from")
    to: AwareDatetime | None = None
    operator: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,40}$")] | None = None
    number: Annotated[str, StringConstraints(min_length=1, max_length=32)] | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class RecordingView(BaseModel):
    """A recording; `fault` says what is wrong with its sound, null when nothing is."""

    id: str
    attempt_id: str
    case_id: str
    case_number: str
    operator: str
    started_at: Moment
    ended_at: Moment
    seconds: float
    size: int
    sha256: str
    format: str
    fault: str | None
    audio: str


class RecordingPage(BaseModel):
    """Recordings, newest first; `next` is the cursor of the next page, null on the last."""

    items: list[RecordingView]
    next: str | None


class RecordingApi:
    """Handlers of the recording calls."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        vault = Vault(kernel.keys.derive("recordings"))
        self._audio = Audio(kernel.database, kernel.clock, vault, kernel.settings.recordings)

    async def search(self, call: Call[Nothing, RecordingQuery]) -> Answer:
        """Return a page of recordings."""
        query = call.query
        wanted = Wanted(
            case=query.case,
            began_from=query.from_,
            began_to=query.to,
            operator=query.operator,
            callee=self._callee(query.number),
        )
        asked = {
            "case": query.case,
            "from": query.from_.isoformat() if query.from_ else None,
            "to": query.to.isoformat() if query.to else None,
            "operator": query.operator,
            "callee": wanted.callee,
        }
        async with self._kernel.database.transaction() as session:
            now = self._kernel.clock.now()
            await audit(session, now, call.principal, call.request, SEARCHED, "", **asked)
        async with self._kernel.database.reading() as session:
            page, following = await find_recordings(session, wanted, limit=query.limit, cursor=query.cursor)
        views = [_view(recording, number, operator) for recording, number, operator in page]
        return Answer(200, RecordingPage.model_construct(items=views, next=following))

    def _callee(self, number: str | None) -> str | None:
        """Return the blind index of a number. Raises Problem 422 for what is no number."""
        if number is None:
            return None
        try:
            return self._kernel.keys.index("phone", parse_chinese(number).digits)
        except InvalidPhone as error:
            raise invalid("number", error.message, reason=str(error.reason)) from None

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of recordings."""
        return [
            Endpoint(
                "GET",
                "/recordings",
                "Search recordings of calls",
                self.search,
                {200: RecordingPage},
                roles=SEARCHERS,
                query=RecordingQuery,
            ),
            # HEAD comes with it.
            Endpoint(
                "GET",
                "/recordings/{id}/audio",
                "The sound of a call; one byte range may be asked for",
                self._audio.play,
                {200: None, 206: None},
                roles=LISTENERS,
                problems=(416, 500),
                media="audio/wav",
            ),
        ]


def _view(recording: Recording, number: str, operator: str) -> RecordingView:
    return RecordingView.model_construct(
        id=recording.id,
        attempt_id=recording.attempt_id,
        case_id=recording.case_id,
        case_number=number,
        operator=operator,
        started_at=recording.started_at,
        ended_at=recording.ended_at,
        seconds=recording.seconds,
        size=recording.size,
        sha256=recording.sha256,
        format=recording.format,
        fault=recording.fault,
        audio=f"{API}/recordings/{recording.id}/audio",
    )
