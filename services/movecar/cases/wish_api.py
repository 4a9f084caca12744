"""The calls about owners who do not want to be called by a machine: schemas and routing."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, StringConstraints

from services.common.database import Database
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Body, Call, Endpoint, Nothing
from services.common.http.paging import Cursor, Limit
from services.common.http.times import Moment
from services.common.text import clean, filled
from services.movecar.cases.models import OwnerWish
from services.movecar.cases.transitions import CaseRules
from services.movecar.cases.wishes import find_wishes, lift, numbers_covered, said

READERS: frozenset[Role] = frozenset({"supervisor", "auditor"})

Why = Annotated[
    str, StringConstraints(min_length=1, max_length=1000), AfterValidator(clean), AfterValidator(filled)
]


class Because(Body):
    """Why; it is kept."""

    note: Why


class WishQuery(Body):
    """Filters. `case`: wishes that cover the owner of that case. `active`: whether not lifted."""

    case: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    active: bool | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class WishView(BaseModel):
    """An owner's wish not to be called by a machine; the owner's numbers are never shown, only counted."""

    id: str
    case_id: str
    numbers: int
    asked_at: Moment
    asked_by: str
    note: str
    lifted_at: Moment | None
    lifted_by: str | None
    lift_note: str | None


class WishPage(BaseModel):
    """Wishes, newest first; `next` is the cursor of the next page, null on the last."""

    items: list[WishView]
    next: str | None


class WishApi:
    """Handlers of the calls about wishes; one is noted with its case."""

    def __init__(self, database: Database, rules: CaseRules) -> None:
        self._database = database
        self._rules = rules

    async def search(self, call: Call[Nothing, WishQuery]) -> Answer:
        """Return a page of wishes."""
        query = call.query
        async with self._database.reading() as session:
            wishes, following = await find_wishes(
                session,
                self._rules.keys,
                case_id=query.case,
                active=query.active,
                limit=query.limit,
                cursor=query.cursor,
            )
            counts = await numbers_covered(session, wishes)
        items = [self._show(wish, counts[wish.id]) for wish in wishes]
        return Answer(200, WishPage(items=items, next=following))

    async def lift(self, call: Call[Because, Nothing]) -> Answer:
        """Lift a wish."""
        wish = await lift(call.session, self._rules, call.path("id"), call.principal, call.body.note)
        counts = await numbers_covered(call.session, [wish])
        return Answer(200, self._show(wish, counts[wish.id]))

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of wishes."""
        return [
            Endpoint(
                "GET",
                "/no-machine-calls",
                "Owners who do not want to be called by a machine",
                self.search,
                {200: WishPage},
                roles=READERS,
                query=WishQuery,
                problems=(404,),
            ),
            Endpoint(
                "POST",
                "/no-machine-calls/{id}/lift",
                "Let a machine call this owner again",
                self.lift,
                {200: WishView},
                roles=frozenset({"supervisor"}),
                body=Because,
                problems=(404,),
                atomic=True,
            ),
        ]

    def _show(self, wish: OwnerWish, numbers: int) -> WishView:
        note, lift_note = said(self._rules.keys, wish)
        return WishView(
            id=wish.id,
            case_id=wish.case_id,
            numbers=numbers,
            asked_at=wish.asked_at,
            asked_by=wish.asked_by,
            note=note,
            lifted_at=wish.lifted_at,
            lifted_by=wish.lifted_by,
            lift_note=lift_note,
        )
