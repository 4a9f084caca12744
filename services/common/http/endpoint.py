"""Endpoints as data: one declaration validates, authorises, wraps the transaction and writes the OpenAPI."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.database import Database
from services.common.http.auth import Principal, Role, Tokens
from services.common.http.inputs import (
    MAX_BODY_BYTES,
    Body,
    Nothing,
    check_path,
    parse_body,
    parse_query,
    read_body,
)
from services.common.http.problems import Problem, invalid
from services.common.models import KeptAnswer

__all__ = ["API", "MAX_BODY_BYTES", "Answer", "Body", "Boundary", "Call", "Endpoint", "Nothing"]

API = "/api/v1"
_KEY = re.compile(r"[!-~]{1,200}")

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers; the model is one of those its endpoint declares for the status."""

    status: int
    model: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """One validated request."""

    request: web.Request
    body: BodyT
    query: QueryT
    caller: Principal | None
    transaction: AsyncSession | None

    @property
    def principal(self) -> Principal:
        """The logged-in caller of an endpoint that has roles."""
        if self.caller is None:
            raise TypeError("this endpoint is public: it has no principal")
        return self.caller

    @property
    def session(self) -> AsyncSession:
        """The transaction that is committed with the answer."""
        if self.transaction is None:
            raise TypeError("this endpoint runs outside a transaction")
        return self.transaction

    def path(self, name: str) -> str:
        """Return a path parameter."""
        return self.request.match_info[name]


@dataclass(frozen=True)
class Endpoint:
    """One operation of the API.

    `roles` empty means public. A handler of an `atomic` endpoint runs inside one transaction that is
    committed before the answer is sent; a raised Problem undoes it. An `independent` one answers also while
    the main database is away or not at the revision this version needs.
    """

    method: str
    path: str
    summary: str
    handler: Callable[[Call[Any, Any]], Awaitable[Answer | web.StreamResponse]]
    answers: Mapping[int, type[BaseModel] | None]
    roles: frozenset[Role] = frozenset()
    body: type[Body] | None = None
    query: type[Body] = Nothing
    problems: tuple[int, ...] = ()
    atomic: bool = False
    max_body: int = MAX_BODY_BYTES
    stream: bool = False
    media: str = ""
    """Media type of an answer that is no JSON document."""
    independent: bool = False


@dataclass(frozen=True)
class Boundary:
    """What stands between the network and the handlers."""

    database: Database
    tokens: Tokens
    keys: Keys
    clock: Clock

    def route(self, endpoint: Endpoint, ready: Callable[[], bool] = lambda: True) -> web.RouteDef:
        """Return the aiohttp route that serves an endpoint, once `ready` or when it needs no database."""

        async def serve(request: web.Request) -> web.StreamResponse:
            if not endpoint.independent and not ready():
                raise Problem(
                    503, "temporarily_unavailable", "系统暂时不可用，请稍后重试", headers={"Retry-After": "2"}
                )
            return await self._serve(endpoint, request)

        return web.route(endpoint.method, API + endpoint.path, serve)

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        principal = None
        if endpoint.roles:
            principal = self.tokens.authenticate(request)
            if principal.role not in endpoint.roles:
                raise Problem(403, "forbidden", "您的角色不能执行此操作", role=principal.role)
        check_path(request)
        query = parse_query(endpoint.query, request)
        raw = await read_body(request, endpoint.max_body) if endpoint.body or request.can_read_body else b""
        body = parse_body(endpoint.body or Nothing, request, raw)
        if not endpoint.atomic:
            answer = await endpoint.handler(Call(request, body, query, principal, None))
            return answer if isinstance(answer, web.StreamResponse) else _respond(answer)
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _KEY.fullmatch(key):
            raise invalid("Idempotency-Key", "应为 1 至 200 个可见 ASCII 字符")
        try:
            return await self._atomically(endpoint, Call(request, body, query, principal, None), key, raw)
        except IntegrityError:
            # Two requests met: the same key twice at once, or two cases for one plate. The other one is
            # committed now, so this one finds what it left.
            return await self._atomically(endpoint, Call(request, body, query, principal, None), key, raw)

    async def _atomically(
        self, endpoint: Endpoint, call: Call[Any, Any], key: str | None, raw: bytes
    ) -> web.StreamResponse:
        owner = call.caller.account_id if call.caller else ""
        context = f"kept:{owner}:{key}"
        # Keyed: the plain hash of a short body gives its phone number or password away to whoever guesses.
        digest = self.keys.index("request", f"{endpoint.method} {call.request.path_qs}\n{raw.hex()}")
        async with self.database.transaction() as session:
            if key is not None:
                kept = await session.scalar(
                    select(KeptAnswer).where(KeptAnswer.principal == owner, KeptAnswer.key == key)
                )
                if kept is not None:
                    if kept.request_digest != digest:
                        raise invalid(
                            "Idempotency-Key", "此键已用于另一请求，请换一个", code="idempotency_key_reused"
                        )
                    body = self.keys.open(kept.body.decode(), context).encode()
                    return web.Response(
                        status=kept.status,
                        body=body or None,
                        content_type="application/json",
                        headers={"Idempotency-Replayed": "true"},
                    )
            answer = await endpoint.handler(Call(call.request, call.body, call.query, call.caller, session))
            if isinstance(answer, web.StreamResponse):
                return answer
            body = _encode(answer.model)
            if key is not None:
                await session.execute(
                    insert(KeptAnswer).values(
                        principal=owner,
                        key=key,
                        request_digest=digest,
                        status=answer.status,
                        body=self.keys.seal(body.decode(), context).encode(),
                        kept_at=self.clock.now(),
                    )
                )
        return _respond(answer, body)


def _encode(model: BaseModel | None) -> bytes:
    return b"" if model is None else model.model_dump_json().encode()


def _respond(answer: Answer, body: bytes | None = None) -> web.Response:
    if answer.model is None:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.Response(
        status=answer.status,
        body=_encode(answer.model) if body is None else body,
        content_type="application/json",
        headers=answer.headers,
    )
