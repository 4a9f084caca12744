"""Services running for a test: on real sockets, with a log-in per role."""

import contextlib
import io
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from services.common.clock import Clock
from services.common.http.auth import Principal, Role
from services.common.ids import new_id
from services.common.service import Kernel, Process, Service, running
from services.common.settings import Settings, load_settings
from tests.support.tables import create_tables

PASSWORD = "a password for the test accounts"
SECRET = "a root secret that is long enough for the tests"


def settings_for(directory: Path, **overrides: Any) -> Settings:
    """Return settings of an embedded demo in a directory, untouched by the environment's `.env`."""
    values: dict[str, Any] = {
        "data_dir": directory,
        "secret_key": SECRET,
        "listen": "127.0.0.1:0",
        "fault_after": 600,  # what else is slow on a busy machine is not this test's business
        "_env_file": None,
    }
    return load_settings(**(values | overrides))


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, builders: Sequence[Callable[[Kernel], Service]], clock: Clock | None = None
) -> AsyncIterator[Process]:
    """Run services on one address for the length of a block."""
    kernel = Kernel.build(settings, clock)
    await create_tables(kernel.database)
    async with running(Process(kernel, [build(kernel) for build in builders], settings.listen)) as process:
        yield process


class Client:
    """A person with a browser: keeps the token and speaks JSON."""

    def __init__(self, address: str) -> None:
        self.base = f"http://{address}"
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def log_in(self, username: str, password: str = PASSWORD) -> Self:
        """Log in and use the token from now on."""
        status, body = await self.post("/sessions", {"username": username, "password": password})
        if status != 201:
            raise AssertionError(f"log-in of {username} failed: {status} {body}")
        self.http.headers["Authorization"] = f"Bearer {body['token']}"
        return self

    def become(self, process: Process, role: Role) -> Self:
        """Use a token of this role without the cost of a log-in."""
        principal = Principal(
            account_id=role,
            username=role,
            name=f"测试{role}",
            role=role,
            session_id=new_id(),
            expires_at=process.kernel.clock.now() + timedelta(hours=1),
        )
        self.http.headers["Authorization"] = f"Bearer {process.kernel.tokens.issue(principal)}"
        return self

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        """GET a path under /api/v1 and return status and decoded body."""
        return await self._send("GET", path, **options)

    async def post(
        self, path: str, body: Any = None, *, large: bytes | None = None, **options: Any
    ) -> tuple[int, Any]:
        """POST JSON to a path under /api/v1; `large`: written already."""
        if large is None:
            return await self._send("POST", path, json=body, **options)
        content = {"data": io.BytesIO(large), "headers": {"Content-Type": "application/json"}}
        return await self._send("POST", path, **content, **options)

    async def _send(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.http.request(method, f"{self.base}/api/v1{path}", **options) as response:
            raw = await response.read()
            return response.status, (await response.json(content_type=None) if raw else None)
