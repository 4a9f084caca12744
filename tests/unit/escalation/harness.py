"""A running escalation service with real sockets, and the desk's and the cases' side of it."""

import asyncio
import atexit
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import select

from services.common.bus import emit
from services.common.clock import Clock
from services.common.events import CaseEscalated, EscalationReason
from services.common.http.auth import Principal, Role
from services.common.ids import new_id
from services.common.models import OutboxEntry
from services.common.service import Kernel, Process, running
from services.common.settings import Settings
from services.escalation.app import build
from tests.support.tables import create_tables

NONE: Mapping[str, str] = {}
DETAILS: dict[str, Any] = {
    "case_number": "YC20260401000001",
    "plate": "苏D10005",
    "plate_color": "blue",
    "location": "武进区延政中路18号",
    "situation": "堵住车库出口",
    "note": "",
    "requester_phone": "13900001111",
    "operator": "op1",
    "attempts": [
        {
            "number": 1,
            "outcome": "disputed",
            "dialed_at": "2026-04-01T08:00:00.000+08:00",
            "ended_at": "2026-04-01T00:00:30Z",
        }
    ],
}


@cache
def _scratch() -> str:
    """A directory that is gone when these tests are over."""
    directory = tempfile.TemporaryDirectory(prefix="movecar-", ignore_cleanup_errors=True)
    atexit.register(directory.cleanup)
    return directory.name


def settings_for(url: str, **overrides: Any) -> Settings:
    """Settings of a service on a database of its own, with no neighbours to miss.

    The journal of faults is beside an SQLite database, and in a new directory otherwise.
    """
    file = url.removeprefix("sqlite+aiosqlite:///")
    directory = Path(tempfile.mkdtemp(dir=_scratch())) if file == url else Path(file).parent / "var"
    quiet: dict[str, Any] = {"data_dir": directory, "fault_after": 600}
    return Settings(_env_file=None, database_url=url, secret_key="k" * 32, **(quiet | overrides))


def escalated(
    kernel: Kernel,
    escalation_id: str,
    details: Mapping[str, Any],
    *,
    reason: EscalationReason = "dispute",
    case_id: str = "case-1",
) -> CaseEscalated:
    """What movecar emits."""
    sealed = kernel.keys.seal(json.dumps(details), f"escalation:{escalation_id}")
    return CaseEscalated(
        occurred_at=kernel.clock.now(),
        case_id=case_id,
        escalation_id=escalation_id,
        reason=reason,
        details_sealed=sealed,
    )


@dataclass
class Desk:
    """One running process and a client of it."""

    kernel: Kernel
    process: Process
    http: aiohttp.ClientSession

    def token(self, role: Role = "desk", session_id: str = "session-1") -> str:
        """Bearer token of somebody with this role."""
        expires = self.kernel.clock.now() + timedelta(hours=1)
        username = f"{role}1"
        principal = Principal(f"account-{role}", username, "李警官", role, session_id, expires)
        return self.kernel.tokens.issue(principal)

    def headers(self, role: Role | None = "desk", more: Mapping[str, str] = NONE) -> dict[str, str]:
        """Request headers of somebody with this role, or of nobody."""
        return dict(more) if role is None else {"Authorization": f"Bearer {self.token(role)}", **more}

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        role: Role | None = "desk",
        headers: Mapping[str, str] = NONE,
    ) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        async with self.http.request(
            method, f"/api/v1{path}", json=body, headers=self.headers(role, headers)
        ) as response:
            return response.status, await response.json()

    async def feed(self, after: int = 0, wait: float = 0, limit: int = 100) -> dict[str, Any]:
        """Read the feed; the answer must be a 200."""
        status, page = await self.call("GET", f"/feed?after={after}&wait={wait}&limit={limit}")
        assert status == 200, page
        assert isinstance(page, dict)
        return page

    async def item(self, seq: int) -> dict[str, Any]:
        """Wait for the item with this number, reading every one before it."""
        after = 0
        while True:
            page = await self.feed(after, wait=20)
            assert [item["seq"] for item in page["items"]] == list(range(after + 1, page["next"] + 1))
            assert page["items"], f"nothing came after {after}"
            after = page["next"]
            if after >= seq:
                (found,) = [item for item in page["items"] if item["seq"] == seq]
                assert isinstance(found, dict)
                return found

    @asynccontextmanager
    async def stream(
        self, query: str = "", last_id: str = "", token: str = ""
    ) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
        """Follow the feed's stream; gives its events as their fields."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        async with self.http.get(f"/api/v1/feed/stream{query}", headers=headers) as response:
            assert (response.status, response.content_type) == (200, "text/event-stream")
            yield _events(response)

    async def readers(self, kind: str, count: int) -> None:
        """Wait until so many readers of a kind (`feed`, `feed_poll`) are being served."""

        async def served() -> bool:
            async with self.http.get("/metrics") as response:
                return f'movecar_stream_readers{{stream="{kind}"}} {count:.1f}' in await response.text()

        await until(served)

    async def refuses(self, token: str) -> None:
        """Wait until a session is refused."""

        async def refused() -> bool:
            headers = {"Authorization": f"Bearer {token}"}
            async with self.http.get("/api/v1/escalations", headers=headers) as response:
                return response.status == 401

        await until(refused)

    async def escalate(self, details: Mapping[str, Any] = DETAILS, **fields: Any) -> str:
        """Emit an escalation as movecar does; return its id."""
        escalation_id = new_id()
        await self.emit(escalated(self.kernel, escalation_id, details, **fields))
        return escalation_id

    async def emit(self, *events: Any) -> None:
        """Emit events as another service does."""
        async with self.kernel.database.transaction() as session:
            await emit(session, *events)

    async def emitted(self) -> list[tuple[str, dict[str, Any]]]:
        """Every event in the log, in order."""
        async with self.kernel.database.reading() as session:
            rows = await session.execute(
                select(OutboxEntry.type, OutboxEntry.payload).order_by(OutboxEntry.id)
            )
            return [(kind, payload) for kind, payload in rows]


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Wait until a check over a socket or a database comes true."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - what is asked has no event to wait for
            await asyncio.sleep(0.01)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Split a stream into events as a browser does: one at each empty line, comments left out."""
    event: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if "data" in event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


@asynccontextmanager
async def serving(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Desk]:
    """Run the service on a port of its own with all tables made."""
    kernel = Kernel.build(settings, clock)
    await create_tables(kernel.database)
    async with running(Process(kernel, [build(kernel)], "127.0.0.1:0")) as process:
        timeout, connector = aiohttp.ClientTimeout(total=110), aiohttp.TCPConnector(limit=0)
        address = f"http://{process.address}"
        async with aiohttp.ClientSession(address, timeout=timeout, connector=connector) as http:
            yield Desk(kernel, process, http)
