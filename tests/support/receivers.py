"""The far ends of notices as real servers: the desk's system, a text-message gateway, a mail server."""

import asyncio
import email
import email.policy
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "what the desk and we both know"


@dataclass(frozen=True, slots=True)
class Got:
    """A notice as it arrived: on which channel, when, and what it says."""

    channel: str
    at: float
    id: str
    type: str
    component: str
    text: str


@dataclass
class Receivers:
    """What arrived. A channel in `refusing` answers with an error."""

    got: list[Got] = field(default_factory=list)
    refusing: set[str] = field(default_factory=set)
    http_port: int = 0
    smtp_port: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def environment(self) -> dict[str, str]:
        """Settings that lead here."""
        return {
            "MOVECAR_DESK_PUSH_URL": f"http://127.0.0.1:{self.http_port}/push",
            "MOVECAR_DESK_PUSH_SECRET": SECRET,
            "MOVECAR_SMS_URL": f"http://127.0.0.1:{self.http_port}/sms",
            "MOVECAR_SMS_TOKEN": "token",
            "MOVECAR_DESK_SMS": "13900000110",
            "MOVECAR_SMTP_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "MOVECAR_DESK_EMAIL": "desk@example.com",
            "MOVECAR_SUPERVISOR_EMAIL": "supervisor@example.com",
        }

    async def take(self, got: Got) -> None:
        """Keep what arrived."""
        async with self._news:
            self.got.append(got)
            self._news.notify_all()

    async def until(self, true: Callable[[list[Got]], bool], seconds: float = 90) -> None:
        """Wait until a condition on what arrived holds. Raises AssertionError with what did arrive."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: true(self.got))
        except TimeoutError:
            raise AssertionError(f"only this arrived: {self.got}") from None

    async def until_told(self, kind: str, component: str, *channels: str, seconds: float = 90) -> None:
        """Wait until each of these channels has brought a notice of this type about a part."""

        def told(got: list[Got]) -> bool:
            return {one.channel for one in got if one.type == kind and one.component == component} >= set(
                channels
            )

        await self.until(told, seconds)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receivers]:
    """Run the far ends for the length of a block."""
    receivers = Receivers()
    application = web.Application()

    async def push(request: web.Request) -> web.Response:
        raw = await request.read()
        stamp = request.headers["X-Movecar-Timestamp"]
        signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
        if request.headers["X-Movecar-Signature"] != f"sha256={signed}":
            return web.Response(status=403)
        if "push" in receivers.refusing:
            return web.Response(status=500)
        item: dict[str, Any] = await request.json()
        data = item["data"]
        if "component" in data:  # the feed's other items are pushed here too
            await receivers.take(
                Got("push", time.time(), item["id"], item["type"], data["component"], data["text"])
            )
        return web.Response(status=204)

    async def sms(request: web.Request) -> web.Response:
        body = await request.json()
        if "sms" in receivers.refusing or request.headers["Authorization"] != "Bearer token":
            return web.Response(status=503)
        await receivers.take(Got("sms", time.time(), body["id"], *_told(body["text"]), body["text"]))
        return web.json_response({"message": "accepted"})

    application.router.add_post("/push", push)
    application.router.add_post("/sms", sms)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receivers.http_port = runner.addresses[0][1]
    server = await asyncio.start_server(lambda r, w: _smtp(receivers, r, w), "127.0.0.1", 0)
    receivers.smtp_port = server.sockets[0].getsockname()[1]
    try:
        yield receivers
    finally:
        server.close()
        await runner.cleanup()


async def _smtp(receivers: Receivers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Enough of RFC 5321 to take a message."""
    recipient = ""

    def say(line: str) -> None:
        writer.write(line.encode() + b"\r\n")

    say("220 mail.example.com ESMTP")
    try:
        while line := (await reader.readline()).decode().strip():
            match line.upper().split(":")[0].split()[0]:
                case "EHLO" | "HELO":
                    say("250 mail.example.com")
                case "RCPT":
                    recipient = line.partition(":")[2].strip().strip("<>").split(">")[0]
                    say("451 not now" if "email" in receivers.refusing else "250 OK")
                case "DATA":
                    say("354 go ahead")
                    raw = await reader.readuntil(b"\r\n.\r\n")
                    message = email.message_from_bytes(raw[:-5], policy=email.policy.default)
                    text = message.get_content().strip()
                    channel = "email" if recipient.startswith("desk") else "supervisor_email"
                    await receivers.take(
                        Got(channel, time.time(), message["Message-ID"], *_told(message["Subject"]), text)
                    )
                    say("250 2.0.0 queued as 4711")
                case "QUIT":
                    say("221 bye")
                    break
                case _:
                    say("250 OK")
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


TITLES = {
    "挪车受理服务": "movecar",
    "外呼服务": "outbound",
    "110通知服务": "escalation",
    "数据库": "database",
    "消息总线": "redis",
    "电话交换机": "pbx",
    "电话中继线路": "trunk",
    "车辆登记信息查询": "registry",
    "磁盘（无法写入）": "disk",
}


def _told(text: str) -> tuple[str, str]:
    component = next((code for title, code in TITLES.items() if title in text), "")
    if "告警" in text:
        return "fault.alarm", component
    over = "恢复通知" in text or "已于" in text
    return ("fault.recovered" if over else "fault.opened"), component
