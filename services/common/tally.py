"""What a service counts of a span of time: numbers alone, for another service or for people (C4).

The service that owns the tables counts. In one process it is asked directly; otherwise over HTTP, by a person
who may see figures or by a neighbour in its own name (`service_token`).
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, Field

from services.common.clock import Clock
from services.common.http.auth import Principal, Role, Tokens
from services.common.http.endpoint import Answer, Call, Endpoint
from services.common.http.inputs import Body
from services.common.http.problems import invalid
from services.common.ids import new_id

Tally = Callable[[datetime, datetime], Awaitable[BaseModel]]
"""Counts from a moment on and before another one; raises what the database raises."""

READERS: Final[frozenset[Role]] = frozenset({"supervisor", "auditor", "service"})
LONGEST: Final = timedelta(days=31)
"""The longest span that is counted."""
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_CLOCKS_APART: Final = timedelta(seconds=60)
"""How far the clocks of two machines of ours may be apart."""
_TOKEN_SECONDS: Final = 60.0


class SpanQuery(Body):
    """A span of time: from a moment on, and before another one; at most 31 days, and none of it ahead."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime


def path(service: str) -> str:
    """Return where a service answers for what it counts, below the API."""
    return f"/tallies/{service}"


def endpoint(service: str, summary: str, tally: Tally, answer: type[BaseModel], clock: Clock) -> Endpoint:
    """Return the call by which a service answers; `answer` is the model that its tally returns."""

    async def count(call: Call[Any, SpanQuery]) -> Answer:
        begin, end = call.query.from_, call.query.to
        _check(begin, end, clock.now())
        return Answer(200, await tally(begin, end))

    return Endpoint("GET", path(service), summary, count, {200: answer}, roles=READERS, query=SpanQuery)


def service_token(service: str, tokens: Tokens, clock: Clock) -> str:
    """Return a token by which a service asks another one in its own name; it is good for a minute."""
    expires_at = clock.now() + timedelta(seconds=_TOKEN_SECONDS)
    return tokens.issue(Principal(service, service, service, "service", new_id(), expires_at))


def _check(begin: datetime, end: datetime, now: datetime) -> None:
    """Raise Problem 422 for a span that is reversed, too long, ahead, or before there was anything."""
    if begin < _EARLIEST:
        raise invalid("from", "不能早于 2000 年")
    if end < begin:
        raise invalid("to", "不能早于 from")
    if end > now + _CLOCKS_APART:
        raise invalid("to", "不能晚于现在")
    if end - begin > LONGEST:
        raise invalid("to", f"与 from 相距不能超过 {LONGEST.days} 天")
