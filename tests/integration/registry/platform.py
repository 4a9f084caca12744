"""A provincial platform that misbehaves on demand: a real server on a real socket."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    line: str
    headers: dict[str, str]
    body: dict[str, Any]


Behaviour = Callable[[Asked, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Platform:
    """Answers each request with the next behaviour; the last one stays."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = []
        self.asked: list[Asked] = []
        self.sent = 0
        """Bytes the last endless behaviour got rid of."""
        self.url = ""
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self._connections.discard(connection)

    async def close(self) -> None:
        """End every connection."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in head[1:] if line)
                }
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or "{}")
                asked = Asked(head[0], headers, body)
                self.asked.append(asked)
                behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                await behaviour(asked, reader, writer)
                await writer.drain()


@asynccontextmanager
async def running_platform(tls: ssl.SSLContext | None = None) -> AsyncIterator[Platform]:
    """Give a platform on a free port of the loopback interface."""
    platform = Platform()
    server = await asyncio.start_server(platform.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    platform.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/vehicles"
    try:
        yield platform
    finally:
        server.close()
        await platform.close()


def vehicle(color: str = "blue", owner: str = "王建国", phones: Any = ("13905190001",)) -> dict[str, Any]:
    """A vehicle as the platform writes it."""
    return {"color": color, "owner": owner, "phones": list(phones) if isinstance(phones, tuple) else phones}


def raw(content: bytes) -> Behaviour:
    """Send exactly these bytes."""

    async def behave(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return behave


def response(status: int = 200, body: bytes = b"", **headers: str) -> Behaviour:
    """Send a whole response; header names are written with underscores."""
    fields = {"content_type": "application/json", "content_length": str(len(body))} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return raw(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


def answer(*vehicles: dict[str, Any], **changed: Any) -> Behaviour:
    """Answer what was asked; `changed` replaces or adds top-level fields."""

    async def behave(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = {name: asked.body[name] for name in ("request_id", "case_id", "plate")}
        body = json.dumps(told | {"vehicles": list(vehicles)} | changed).encode()
        await response(body=body)(asked, reader, writer)

    return behave


async def silence(_: Asked, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Accept the request and say nothing until the client gives up."""
    await reader.read()


async def drip(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise a body and send a byte of it now and then, each soon enough to be no silence."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def reset(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Drop the connection without a word."""
    writer.transport.abort()


async def half_close(_: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End our side without an answer and leave the other open."""
    writer.write_eof()
    await reader.read()


async def cut_short(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise more than is sent, then close."""
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"req')
    writer.close()


def endless(platform: Platform) -> Behaviour:
    """Send chunks for ever, or until the client has had enough."""

    async def behave(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        platform.sent = 0
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b" " * 4096 + b"\r\n")
            await writer.drain()
            platform.sent += 4096

    return behave
