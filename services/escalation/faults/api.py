"""The API of faults: it answers from the journal, also when everything else is down."""

import re
from datetime import UTC, datetime
from typing import Any

from services.common.clock import Clock
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.paging import read_cursor, write_cursor
from services.common.http.problems import Problem, invalid, not_found
from services.escalation.faults.documents import (
    MAX_PAST,
    FaultAnswer,
    FaultPage,
    FaultsQuery,
    GiveNotice,
    MaintenanceAnswer,
    MaintenancePage,
    NoticePage,
    OpenFault,
    PairAnswer,
    PlanMaintenance,
    RunDrill,
    fault_answer,
    maintenance_answer,
    notice_answers,
    pair_answer,
)
from services.escalation.faults.journal import Journal
from services.escalation.faults.pair.pair import Pair
from services.escalation.faults.people import NoDrillChannel, People, UnknownFault
from services.escalation.faults.records import Fault

READ: frozenset[Role] = frozenset({"supervisor", "desk", "auditor"})
WRITE: frozenset[Role] = frozenset({"supervisor"})

_ID = re.compile(r"\A[0-9a-f]{32}\Z")
_KEY = re.compile(r"[!-~]{1,200}")
_POSITION = re.compile(r"\A([0-9]{1,20}) ([0-9a-f]{32})\Z")
_MICROSECONDS = 1_000_000


class FaultApi:
    """Endpoints of faults, notices, planned work and drills."""

    def __init__(self, journal: Journal, people: People, clock: Clock, pair: Pair | None = None) -> None:
        self._journal, self._people, self._clock, self._pair = journal, people, clock, pair

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All of them; none needs the main database."""
        one = "/faults/{id}"
        return (
            Endpoint(
                "GET",
                "/faults",
                "List faults, newest first",
                self.list,
                {200: FaultPage},
                roles=READ,
                query=FaultsQuery,
                independent=True,
            ),
            Endpoint(
                "POST",
                "/faults",
                "Record a fault that a person found",
                self.open,
                {201: FaultAnswer, 200: FaultAnswer},
                roles=WRITE,
                body=OpenFault,
                independent=True,
            ),
            Endpoint(
                "GET",
                "/faults/maintenance",
                "List planned work that is not over",
                self.plans,
                {200: MaintenancePage},
                roles=READ,
                independent=True,
            ),
            Endpoint(
                "POST",
                "/faults/maintenance",
                "Announce planned work ahead",
                self.announce,
                {201: MaintenanceAnswer},
                roles=WRITE,
                body=PlanMaintenance,
                independent=True,
            ),
            Endpoint(
                "GET",
                "/faults/pair",
                "Who gives the notices, and how the other machine is",
                self.pair,
                {200: PairAnswer},
                roles=READ,
                independent=True,
            ),
            Endpoint(
                "GET",
                "/faults/drills/last",
                "The last drill",
                self.last_drill,
                {200: FaultAnswer},
                roles=READ,
                problems=(404,),
                independent=True,
            ),
            Endpoint(
                "POST",
                "/faults/drills",
                "Rehearse a fault, marked as a drill everywhere",
                self.rehearse,
                {201: FaultAnswer},
                roles=WRITE,
                body=RunDrill,
                independent=True,
            ),
            Endpoint("GET", one, "Read a fault", self.get, {200: FaultAnswer}, roles=READ, independent=True),
            Endpoint(
                "POST",
                f"{one}/recover",
                "Say that a fault is over",
                self.recover,
                {200: FaultAnswer},
                roles=WRITE,
                problems=(409,),
                independent=True,
            ),
            Endpoint(
                "GET",
                f"{one}/notices",
                "Read a fault's notices and their proof",
                self.notices,
                {200: NoticePage},
                roles=READ,
                independent=True,
            ),
            Endpoint(
                "POST",
                f"{one}/notices",
                "Record a notice that a person gave",
                self.give,
                {201: NoticePage},
                roles=WRITE,
                body=GiveNotice,
                independent=True,
            ),
        )

    async def list(self, call: Call[Any, FaultsQuery]) -> Answer:
        query = call.query
        found = await self._journal.faults(
            query.limit + 1,
            before=None if query.cursor is None else _read_place(query.cursor),
            component=query.component,
            state=query.status,
            drill=query.drill,
        )
        shown = found[: query.limit]
        more = len(found) > len(shown)
        items = [fault_answer(fault) for fault in shown]
        return Answer(200, FaultPage(items=items, next=_write_place(shown[-1]) if more else None))

    async def get(self, call: Call[Any, Any]) -> Answer:
        found = await self._people.find(_fault_id(call))
        if found is None:
            raise not_found("此故障")
        return Answer(200, fault_answer(found))

    async def open(self, call: Call[OpenFault, Any]) -> Answer:
        body, now = call.body, self._clock.now()
        if body.began_at is not None and not now - MAX_PAST <= body.began_at <= now:
            raise invalid("began_at", f"应在过去 {MAX_PAST.days} 天之内")
        fault, new = await self._people.open(
            body.component,
            body.reason,
            by=call.principal.username,
            began_at=body.began_at,
            key=_key(call),
        )
        return Answer(201 if new else 200, fault_answer(fault))

    async def recover(self, call: Call[Any, Any]) -> Answer:
        try:
            found = await self._people.recover(_fault_id(call))
        except UnknownFault as error:
            raise not_found("此故障") from error
        return Answer(200, fault_answer(found))

    async def notices(self, call: Call[Any, Any]) -> Answer:
        return Answer(200, await self._notices(_fault_id(call)))

    async def give(self, call: Call[GiveNotice, Any]) -> Answer:
        fault_id, body = _fault_id(call), call.body
        try:
            await self._people.give(fault_id, body.channel, body.note, call.principal.username)
        except UnknownFault as error:
            raise not_found("此故障") from error
        return Answer(201, await self._notices(fault_id))

    async def plans(self, _: Call[Any, Any]) -> Answer:
        found = await self._journal.plans(self._clock.now())
        return Answer(200, MaintenancePage(items=[maintenance_answer(planned) for planned in found]))

    async def announce(self, call: Call[PlanMaintenance, Any]) -> Answer:
        body = call.body
        if body.ends_at <= body.begins_at:
            raise invalid("to", "应晚于开始时间")
        if body.ends_at <= self._clock.now():
            raise invalid("to", "应在将来：过去的中断请登记为故障")
        planned = await self._people.announce(
            body.component, body.begins_at, body.ends_at, body.note, call.principal.username
        )
        return Answer(201, maintenance_answer(planned))

    async def pair(self, _: Call[Any, Any]) -> Answer:
        return Answer(200, pair_answer(self._pair))

    async def rehearse(self, call: Call[RunDrill, Any]) -> Answer:
        body = call.body
        try:
            drill = await self._people.rehearse(body.component, call.principal.username, real=body.real)
        except NoDrillChannel:
            raise invalid(
                "real",
                "没有配置演练通道：请设置 MOVECAR_DRILL_PUSH_URL、MOVECAR_DRILL_EMAIL 或 MOVECAR_DRILL_SMS，"
                "或者通知真实的接警台与班长（real，命令行为 --real）",
                code="no_drill_channel",
            ) from None
        return Answer(201, fault_answer(drill))

    async def last_drill(self, _: Call[Any, Any]) -> Answer:
        found = await self._journal.faults(1, drill=True)
        if not found:
            raise not_found("演练记录")
        return Answer(200, fault_answer(found[0]))

    async def _notices(self, fault_id: str) -> NoticePage:
        try:
            owed = await self._people.notices(fault_id)
        except UnknownFault as error:
            raise not_found("此故障") from error
        return NoticePage(items=[notice for duty, sent in owed for notice in notice_answers(duty, sent)])


def _fault_id(call: Call[Any, Any]) -> str:
    given = call.path("id")
    if not _ID.match(given):
        raise not_found("此故障")
    return given


def _key(call: Call[Any, Any]) -> str:
    key = call.request.headers.get("Idempotency-Key", "")
    if key and not _KEY.fullmatch(key):
        raise invalid("Idempotency-Key", "应为 1 至 200 个可见 ASCII 字符")
    return key


def _write_place(fault: Fault) -> str:
    return write_cursor(f"{round(fault.detected_at.timestamp() * _MICROSECONDS)} {fault.id}")


def _read_place(cursor: str) -> tuple[datetime, str]:
    found = _POSITION.match(read_cursor(cursor))
    problem: Problem = invalid("cursor", "游标无效，请从第一页重新开始")
    if found is None:
        raise problem
    seconds, rest = divmod(int(found[1]), _MICROSECONDS)
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest), found[2]
    except (ValueError, OverflowError, OSError):
        raise problem from None
