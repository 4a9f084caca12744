"""The case calls of the API: schemas and routing; the rules are beside."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.common.database import Database
from services.common.events import CallMode, EscalationReason
from services.common.http.auth import Principal, Role
from services.common.http.endpoint import Answer, Body, BodyT, Call, Endpoint, Nothing
from services.common.http.paging import Cursor, Limit
from services.common.http.problems import Problem, invalid, not_found
from services.common.http.times import Moment
from services.common.phones import InvalidPhone, callable_number, own_lines
from services.common.text import Line, Note
from services.movecar.cases import actions
from services.movecar.cases.hand_over import hand_over
from services.movecar.cases.intake import Request, open_case
from services.movecar.cases.machine import IllegalTransition, OwnerAnswer, Status
from services.movecar.cases.models import Case
from services.movecar.cases.rows import CaseMoved, find_case
from services.movecar.cases.search import find_cases, history_of
from services.movecar.cases.transitions import CaseRules
from services.movecar.cases.view import CaseView, OpenedCase, show, show_new
from services.movecar.cases.wish_api import Because
from services.movecar.cases.wishes import decline
from services.movecar.plates import Color, InvalidColor, InvalidPlate, Plate, parse, parse_color

OPERATOR: frozenset[Role] = frozenset({"operator"})
READERS: frozenset[Role] = frozenset({"operator", "supervisor", "auditor"})

PlateText = Annotated[str, StringConstraints(min_length=1, max_length=32)]
ColorText = Annotated[str, StringConstraints(min_length=1, max_length=16)]
PhoneText = Annotated[str, StringConstraints(min_length=1, max_length=32)]


class NewCase(Body):
    """What the operator types: a plate, a place and who asks."""

    plate: PlateText = Field(examples=["苏D10001"])
    location: Line = Field(examples=["武进区湖塘镇花园街12号"])
    requester_phone: PhoneText = Field(examples=["13912345678"])
    plate_color: ColorText | None = None
    situation: Annotated[Note, Field(max_length=200)] = ""
    note: Note = ""
    mode: CallMode = "notice"


class CorrectedPlate(Body):
    """The plate as it should have been."""

    plate: PlateText
    plate_color: ColorText | None = None


class RecordedAnswer(Body):
    """What the owner said to the operator on the telephone."""

    answer: OwnerAnswer
    note: Note = ""


class Withdrawal(Body):
    """Why the requester withdrew."""

    note: Note


class Escalate(Body):
    """Why the 110 desk must act, and what it should know."""

    reason: EscalationReason
    note: Note


class CaseQuery(Body):
    """Filters; all given ones must hold. `from` and `to` bound the time of opening (`to` excluded)."""

    status: Status | None = None
    plate: PlateText | None = None
    number: Annotated[str, StringConstraints(pattern=r"^YC[0-9]{14}$")] | None = None
    from_: AwareDatetime | None = Field(default=None, alias="from")
    to: AwareDatetime | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class CasePage(BaseModel):
    """Cases, newest first; `next` is the cursor of the next page, null on the last."""

    items: list[CaseView]
    next: str | None


class HistoryItem(BaseModel):
    """One thing that happened to a case."""

    at: Moment
    actor: str
    trigger: str
    from_status: Status | None
    to_status: Status
    reason: str | None
    note: str


class History(BaseModel):
    """Everything that happened to a case, oldest first."""

    items: list[HistoryItem]


def read_plate(text: str) -> Plate:
    """Return the plate. Raises Problem 422 `invalid_plate`, with a suggestion where O or I look wrong."""
    try:
        return parse(text)
    except InvalidPlate as error:
        message = error.message + (f"；是否为 {error.suggestion}？" if error.suggestion else "")
        extra = {"suggestion": error.suggestion} if error.suggestion else {}
        raise invalid("plate", message, code="invalid_plate", reason=str(error.reason), **extra) from None


def read_color(text: str | None, plate: Plate) -> Color | None:
    """Return the colour. Raises Problem 422 for one that is none, or that this kind of plate never has."""
    if text is None:
        return None
    try:
        color = parse_color(text)
    except InvalidColor as error:
        raise invalid("plate_color", str(error)) from None
    if not plate.allows(color):
        names = "、".join(option.chinese for option in plate.colors)
        raise invalid("plate_color", f"该类车牌的颜色只能是{names}")
    return color


class CaseApi:
    """Handlers of the case calls."""

    def __init__(self, database: Database, rules: CaseRules) -> None:
        self._database = database
        self._rules = rules
        self._own = own_lines(rules.settings.desk_phone)

    async def open(self, call: Call[NewCase, Nothing]) -> Answer:
        """Open a case or join the open one."""
        body = call.body
        plate = read_plate(body.plate)
        try:
            phone = callable_number(body.requester_phone, self._own)
        except InvalidPhone as error:
            raise invalid("requester_phone", error.message, reason=str(error.reason)) from None
        request = Request(
            plate=plate,
            color=read_color(body.plate_color, plate),
            location=body.location,
            situation=body.situation,
            note=body.note,
            mode=body.mode,
            requester_phone=phone.digits,
        )
        case, joined = await open_case(call.session, self._rules, request, call.principal)
        if joined:
            (view,) = await show(call.session, self._rules, [case], call.principal.role)
        else:
            view = show_new(self._rules, case, call.principal.role)
        return Answer(200 if joined else 201, OpenedCase.model_construct(**dict(view), joined=joined))

    async def get(self, call: Call[Nothing, Nothing]) -> Answer:
        """Return one case."""
        async with self._database.reading() as session:
            case = await find_case(session, call.path("id"))
            if case is None:
                raise not_found("该案件")
            (view,) = await show(session, self._rules, [case], call.principal.role)
        return Answer(200, view)

    async def search(self, call: Call[Nothing, CaseQuery]) -> Answer:
        """Return a page of cases."""
        query = call.query
        plate = read_plate(query.plate).text if query.plate is not None else None
        async with self._database.reading() as session:
            cases, following = await find_cases(
                session,
                self._rules.keys,
                status=query.status,
                plate=plate,
                number=query.number,
                opened_from=query.from_,
                opened_to=query.to,
                limit=query.limit,
                cursor=query.cursor,
            )
            views = await show(session, self._rules, cases, call.principal.role)
        return Answer(200, CasePage.model_construct(items=views, next=following))

    async def history(self, call: Call[Nothing, Nothing]) -> Answer:
        """Return what happened to a case."""
        async with self._database.reading() as session:
            if await find_case(session, call.path("id")) is None:
                raise not_found("该案件")
            rows = await history_of(session, call.path("id"))
        items = [HistoryItem.model_validate(row, from_attributes=True) for row in rows]
        return Answer(200, History(items=items))

    def action(
        self, act: Callable[[Call[Any, Nothing], Case], Awaitable[None]]
    ) -> Callable[[Call[Any, Nothing]], Awaitable[Answer]]:
        """Return a handler that finds the case of the path, acts on it and answers with it."""

        async def handle(call: Call[Any, Nothing]) -> Answer:
            case = await find_case(call.session, call.path("id"), for_update=True)
            if case is None:
                raise not_found("该案件")
            try:
                await act(call, case)
            except IllegalTransition as error:
                raise Problem(
                    409,
                    "illegal_transition",
                    "案件当前状态不能执行此操作",
                    case_status=error.status,
                    trigger=error.trigger,
                ) from None
            except CaseMoved:
                raise Problem(409, "case_moved", "案件刚刚被更新，请刷新后重试") from None
            (view,) = await show(call.session, self._rules, [case], call.principal.role)
            return Answer(200, view)

        return handle

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of cases."""
        rules = self._rules

        def operator_call(
            path: str,
            summary: str,
            body: type[BodyT] | None,
            act: Callable[[Call[Any, Nothing], Case, Principal], Awaitable[None]],
            roles: frozenset[Role] = OPERATOR,
        ) -> Endpoint:
            async def with_principal(call: Call[Any, Nothing], case: Case) -> None:
                await act(call, case, call.principal)

            return Endpoint(
                "POST",
                "/cases/{id}" + path,
                summary,
                self.action(with_principal),
                {200: CaseView},
                roles=roles,
                body=body,  # type: ignore[arg-type]
                problems=(409,),
                atomic=True,
            )

        return [
            Endpoint(
                "POST",
                "/cases",
                "Open a case and call the owner, or join the open case of the same car",
                self.open,
                {201: OpenedCase, 200: OpenedCase},
                roles=OPERATOR,
                body=NewCase,
                atomic=True,
            ),
            Endpoint(
                "GET", "/cases", "Search cases", self.search, {200: CasePage}, roles=READERS, query=CaseQuery
            ),
            Endpoint("GET", "/cases/{id}", "A case", self.get, {200: CaseView}, roles=READERS),
            Endpoint(
                "GET",
                "/cases/{id}/history",
                "What happened to a case",
                self.history,
                {200: History},
                roles=READERS,
            ),
            operator_call(
                "/redial",
                "Look up and call again",
                None,
                lambda call, case, by: actions.redial(call.session, rules, case, by),
            ),
            operator_call(
                "/correct-plate", "Correct the plate and look it up", CorrectedPlate, self._correct_plate
            ),
            operator_call(
                "/confirm-moved",
                "The car has gone: close the case",
                None,
                lambda call, case, by: actions.confirm_moved(call.session, rules, case, by),
            ),
            operator_call(
                "/still-blocked",
                "The car is still there: call once more, then escalate",
                None,
                lambda call, case, by: actions.still_blocked(call.session, rules, case, by),
            ),
            operator_call(
                "/record-answer",
                "What the owner said to the operator on the telephone",
                RecordedAnswer,
                lambda call, case, by: actions.record_answer(
                    call.session, rules, case, by, call.body.answer, call.body.note
                ),
            ),
            operator_call(
                "/withdraw",
                "Cancel at the requester's wish",
                Withdrawal,
                lambda call, case, by: actions.withdraw(call.session, rules, case, by, call.body.note),
            ),
            operator_call(
                "/escalate",
                "Hand the case to the 110 desk",
                Escalate,
                lambda call, case, by: actions.escalate(
                    call.session, rules, case, by, call.body.reason, call.body.note
                ),
            ),
            operator_call(
                "/hand-over",
                "Call the 110 desk into the conversation with the owner",
                None,
                lambda call, case, by: hand_over(call.session, rules, case, by),
            ),
            operator_call(
                "/no-machine-calls",
                "The owner does not want to be called by a machine",
                Because,
                lambda call, case, by: decline(call.session, rules, case, by, call.body.note),
                roles=OPERATOR | {"supervisor"},
            ),
        ]

    async def _correct_plate(
        self, call: Call[CorrectedPlate, Nothing], case: Case, operator: Principal
    ) -> None:
        plate = read_plate(call.body.plate)
        color = read_color(call.body.plate_color, plate)
        await actions.correct_plate(call.session, self._rules, case, operator, plate, color)
