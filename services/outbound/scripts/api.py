"""The call-script calls: filing, deciding, reading. Schemas are in `documents`, rules in `filing` (B3)."""

import re
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.ami import AmiError
from services.common.clock import Clock, local
from services.common.crypto import Keys
from services.common.database import Database, after_commit
from services.common.http.auth import Role
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.inputs import MAX_UPLOAD_BYTES
from services.common.http.paging import read_cursor, write_cursor
from services.common.http.problems import FieldError, Problem, invalid, not_found
from services.outbound.pbx import EveryNode
from services.outbound.scripts import filing
from services.outbound.scripts.audible import Audible
from services.outbound.scripts.documents import (
    Decision,
    NewScript,
    ScriptPage,
    ScriptsQuery,
    ScriptView,
    is_sensible,
    script_view,
)
from services.outbound.scripts.machine import IllegalTransition, Trigger
from services.outbound.scripts.models import CallScript, NoticeFile, ScriptHistory
from services.outbound.scripts.watch import Scripts

READERS: Final[frozenset[Role]] = frozenset({"admin", "auditor", "supervisor"})
WRITERS: Final[frozenset[Role]] = frozenset({"admin"})
SCAN_READERS: Final[frozenset[Role]] = frozenset({"admin", "auditor"})
_ID: Final = re.compile(r"[0-9a-f]{32}")
_VERSION: Final = re.compile(r"[0-9]{1,4}")


class ScriptsApi:
    """Endpoints under `/call-scripts`."""

    def __init__(
        self, database: Database, clock: Clock, keys: Keys, scripts: Scripts, pbx: EveryNode, audible: Audible
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._scripts = scripts
        self._pbx = pbx
        self._audible = audible

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """Everything that is answered here."""
        base, one = "/call-scripts", "/call-scripts/{id}"
        answer = {200: ScriptView}
        return (
            Endpoint(
                "GET",
                base,
                "List call scripts, newest first",
                self.list,
                {200: ScriptPage},
                roles=READERS,
                query=ScriptsQuery,
            ),
            Endpoint(
                "GET", f"{base}/current", "Read the script in force", self.current, answer, roles=READERS
            ),
            Endpoint("GET", one, "Read a script with its history", self.get, answer, roles=READERS),
            Endpoint(
                "GET",
                f"{one}/notice",
                "The scan of its notice, as it was sent in",
                self.notice,
                {200: None},
                roles=SCAN_READERS,
            ),
            Endpoint(
                "POST",
                base,
                "Draft a script under a written notice",
                self.draft,
                {201: ScriptView},
                roles=WRITERS,
                body=NewScript,
                problems=(409,),
                atomic=True,
                max_body=MAX_UPLOAD_BYTES,
            ),
            Endpoint(
                "POST",
                f"{one}/approve",
                "Approve a draft of somebody else; its prompts and its caller ID have to be ready",
                self.approve,
                answer,
                roles=WRITERS,
                problems=(409, 503),
            ),
            Endpoint(
                "POST",
                f"{one}/reject",
                "Reject a draft of somebody else",
                self.reject,
                answer,
                roles=WRITERS,
                body=Decision,
                problems=(409,),
                atomic=True,
            ),
            Endpoint(
                "POST",
                f"{one}/withdraw",
                "Withdraw a draft of one's own",
                self.withdraw,
                answer,
                roles=WRITERS,
                body=Decision,
                problems=(409,),
                atomic=True,
            ),
        )

    async def list(self, call: Call[Any, ScriptsQuery]) -> Answer:
        query = call.query
        statement = select(CallScript).order_by(CallScript.version.desc()).limit(query.limit + 1)
        if query.cursor is not None:
            position = read_cursor(query.cursor)
            if not _VERSION.fullmatch(position):
                raise invalid("cursor", "游标无效，请从第一页重新开始")
            statement = statement.where(CallScript.version < int(position))
        current = await self._scripts.current(self._clock.now())
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
            shown = rows[: query.limit]
            notices = await _notices(session, [row.id for row in shown])
        items = [script_view(row, notices.get(row.id), current) for row in shown]
        more = len(rows) > len(shown)
        return Answer(
            200, ScriptPage(items=items, next=write_cursor(str(shown[-1].version)) if more else None)
        )

    async def current(self, call: Call[Any, Any]) -> Answer:
        current = await self._scripts.current(self._clock.now())
        async with self._database.reading() as session:
            found = await session.scalar(select(CallScript).where(CallScript.version == current.version))
            if found is None:
                raise not_found("此话术")
            return Answer(200, await self._view(session, found))

    async def get(self, call: Call[Any, Any]) -> Answer:
        async with self._database.reading() as session:
            return Answer(200, await self._view(session, await _find(session, call)))

    async def notice(self, call: Call[Any, Any]) -> web.Response:
        async with self._database.reading() as session:
            script = await _find(session, call)
            notice = await session.get(NoticeFile, script.id)
        if notice is None:
            raise not_found("此通知扫描件")
        return web.Response(
            body=filing.open_notice(self._keys, notice),
            content_type=notice.media_type,
            headers={
                # a fixed name: what a stranger called the file does not belong in a header
                "Content-Disposition": f'attachment; filename="notice-{script.version}"',
                "X-Content-SHA256": notice.sha256,
            },
        )

    async def draft(self, call: Call[NewScript, Any]) -> Answer:
        now, body = self._clock.now(), call.body
        wrong = is_sensible(body.effective_from, body.notice_date, now, local(now).date())
        if wrong is not None:
            raise invalid(*wrong)
        wanted = filing.Draft(
            body.caller_id, body.greeting, body.notice_number, body.notice_date, body.effective_from
        )
        try:
            script = await filing.draft(
                call.session, self._keys, wanted, body.notice_file.scan(), by=call.principal.username, now=now
            )
        except filing.NoVersionLeft:
            raise Problem(409, "no_version_left", "话术编号已用完") from None
        return Answer(201, await self._view(call.session, script))

    async def approve(self, call: Call[Any, Any]) -> Answer:
        by = call.principal.username
        async with self._database.reading() as session:
            script = await _find(session, call)
        if not (script.state == "approved" and script.approved_by == by):
            _check(script, Trigger.APPROVED, by)
            await self._check_ready(script)  # asks the PBX and reads files, so outside the transaction
        checksums = await self._audible.checksums(script.version)
        async with self._database.transaction() as session:
            try:
                approved = await filing.approve(
                    session, script.id, by=by, now=self._clock.now(), prompts=checksums
                )
            except (filing.SamePerson, IllegalTransition) as error:
                raise _problem(error, script) from error
            after_commit(session, self._scripts.wake)
            return Answer(200, await self._view(session, approved))

    async def reject(self, call: Call[Decision, Any]) -> Answer:
        return await self._decide(call, filing.reject)

    async def withdraw(self, call: Call[Decision, Any]) -> Answer:
        return await self._decide(call, filing.withdraw)

    async def _decide(self, call: Call[Decision, Any], decide: Any) -> Answer:
        script = await _find(call.session, call)
        try:
            decided = await decide(
                call.session,
                script.id,
                by=call.principal.username,
                now=self._clock.now(),
                note=call.body.note,
            )
        except (filing.SamePerson, filing.NotTheAuthor, IllegalTransition) as error:
            raise _problem(error, script) from error
        return Answer(200, await self._view(call.session, decided))

    async def _check_ready(self, script: CallScript) -> None:
        """Raise Problem 409 unless the script could be heard, from the number it says."""
        if self._audible.unset:
            raise Problem(409, "prompts_missing", "未设置 MOVECAR_PROMPTS_DIR，无法确认提示音", prompts=[])
        findings = await self._audible.findings({script.version: script.greeting})
        if findings:
            raise Problem(
                409,
                "prompts_missing",
                "提示音缺失或无法播放，不能批准",
                detail=f"movecar prompts build --script {script.version}（或 import），再用 check 确认",
                errors=[FieldError(field=each.name, message=str(each)) for each in findings[:50]],
                prompts=[each.name for each in findings],
            )
        try:
            provisioned = await self._pbx.caller_ids()
        except AmiError as error:
            raise Problem(
                503,
                "pbx_unavailable",
                "话务系统暂时无法确认主叫号码，请稍后重试",
                headers={"Retry-After": "5"},
            ) from error
        if script.caller_id not in provisioned:
            raise Problem(
                409,
                "caller_id_not_provisioned",
                "话务系统未配置此主叫号码，不能批准",
                detail="请管理员先在 PBX 的 caller_ids 中登记该号码并重新生成配置",
                caller_id=script.caller_id,
                provisioned=sorted(provisioned),
            )

    async def _view(self, session: AsyncSession, script: CallScript) -> ScriptView:
        lines = await session.scalars(
            select(ScriptHistory).where(ScriptHistory.script_id == script.id).order_by(ScriptHistory.id)
        )
        history = [*lines]
        notices = await _notices(session, [script.id])
        current = self._scripts.known_current(self._clock.now())
        return script_view(script, notices.get(script.id), current, history)


async def _find(session: AsyncSession, call: Call[Any, Any]) -> CallScript:
    given = call.path("id")
    if not _ID.fullmatch(given):  # what cannot be an id never reaches a query
        raise not_found("此话术")
    try:
        return await filing.find(session, given)
    except filing.UnknownScript:
        raise not_found("此话术") from None


async def _notices(session: AsyncSession, ids: Sequence[str]) -> dict[str, NoticeFile]:
    found = await session.scalars(select(NoticeFile).where(NoticeFile.script_id.in_(ids)))
    return {notice.script_id: notice for notice in found}


def _check(script: CallScript, trigger: Trigger, by: str) -> None:
    try:
        filing.check_decision(script, trigger, by)
    except (filing.SamePerson, filing.NotTheAuthor, IllegalTransition) as error:
        raise _problem(error, script) from error


def _problem(error: Exception, script: CallScript) -> Problem:
    if isinstance(error, filing.SamePerson):
        return Problem(409, "same_person", "起草人不能自己批准或驳回，请由另一位管理员处理")
    if isinstance(error, filing.NotTheAuthor):
        return Problem(409, "not_the_author", "只有起草人可以撤回草稿")
    return Problem(409, "illegal_transition", "当前状态不允许此操作", script_state=script.state)
