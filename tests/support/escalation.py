"""The escalation process as a child process with nothing to lean on, and what answers as a neighbour."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from deploy.stack.ports import free_port
from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.common.http.auth import Principal, Role, Tokens
from services.common.ids import new_id
from tests.support.program import ROOT, Child
from tests.support.running import SECRET as KEY


class Escalation(Child):
    """`python -m services.escalation` with nothing to lean on."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.movecar, self.outbound = free_port(), free_port()
        settings = {
            "MOVECAR_DATA_DIR": str(directory / "var"),
            "MOVECAR_SECRET_KEY": KEY,
            "MOVECAR_DATABASE_URL": f"postgresql+asyncpg://nobody:none@127.0.0.1:{free_port()}/none",
            "MOVECAR_REDIS_URL": f"redis://127.0.0.1:{free_port()}",
            "MOVECAR_LISTEN": f"127.0.0.1:{self.movecar}",
            "MOVECAR_OUTBOUND_LISTEN": f"127.0.0.1:{self.outbound}",
            "MOVECAR_ESCALATION_LISTEN": self.address,
            "MOVECAR_FAULT_AFTER": "2",
        }
        super().__init__("services.escalation", directory / "escalation.log", {**settings, **environment})

    async def command(self, *arguments: str, status: int = 0) -> str:
        """Run a command of the product with the same settings, which must end with this exit status."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services",
            *arguments,
            cwd=ROOT,
            env=os.environ | self.environment | {"COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        assert process.returncode == status, printed.decode()
        return printed.decode()

    async def ask(self, method: str, path: str, role: Role, body: Any = None) -> tuple[int, Any]:
        clock = SystemClock()
        person = Principal(role, f"{role}1", "测试", role, new_id(), clock.now().replace(year=2100))
        token = Tokens(Keys.from_secret(KEY), clock).issue(person)
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://{self.address}/api/v1{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()


@asynccontextmanager
async def neighbour(port: int) -> AsyncIterator[None]:
    """Something that answers as a service's process does."""

    async def well(_: web.Request) -> web.Response:
        return web.json_response({"status": "ready", "problems": {}})

    application = web.Application()
    application.router.add_get("/livez", well)
    application.router.add_get("/readyz", well)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    try:
        yield
    finally:
        await runner.cleanup()
