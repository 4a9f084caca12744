"""A TCP peer that plays Asterisk's part line by line, as a test tells it to, well or badly."""

import asyncio
import hashlib
import ssl
from typing import Self

USER = "movecar"
SECRET = "correct horse battery staple"
CHALLENGE = "840415273"
KEY = hashlib.md5((CHALLENGE + SECRET).encode(), usedforsecurity=False).hexdigest()
DEADLINE = 60.0
"""Seconds after which a test gives up waiting; nothing waits that long when all is well."""


class Connection:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def banner(self) -> None:
        await self.write("Asterisk Call Manager/11.0.0\r\n")

    async def write(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def message(self, *lines: str) -> None:
        await self.write("\r\n".join(lines) + "\r\n\r\n")

    async def raw_action(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def action(self) -> dict[str, str]:
        lines = (await self.raw_action()).strip().split("\r\n")
        return dict(line.split(": ", 1) for line in lines)

    async def answer(self, action: dict[str, str], status: str = "Success", *lines: str) -> None:
        await self.message(f"Response: {status}", f"ActionID: {action['ActionID']}", *lines)

    async def accept_login(self, *, booted: bool = True) -> None:
        """Greet the client and let it in, by challenge or by plain secret; then say whether all is loaded."""
        await self.banner()
        action = await self.action()
        if action["Action"] == "Challenge":
            await self.answer(action, "Success", f"Challenge: {CHALLENGE}")
            action = await self.action()
            assert action["Key"] == KEY
        else:
            assert action["Secret"] == SECRET
        await self.answer(action, "Success", "Message: Authentication accepted")
        if booted:
            await self.event("FullyBooted", Status="Fully Booted")

    async def event(self, name: str, **fields: str) -> None:
        await self.message(f"Event: {name}", *(f"{key}: {value}" for key, value in fields.items()))

    async def at_end(self) -> None:
        """Wait until the client has closed its side, reading what it still sends."""
        async with asyncio.timeout(DEADLINE):
            while await self.reader.read(65536):
                pass

    def cut(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()


class Peer:
    """Listens on a free port; each connection is handed to the test by `accept()`."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._tls = tls
        self._connections: asyncio.Queue[Connection] = asyncio.Queue()
        self._all: list[Connection] = []
        self.port = 0

    @property
    def accepted(self) -> int:
        """Connections so far."""
        return len(self._all)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._on_connection, self._host, self.port or None, ssl=self._tls, limit=1 << 24
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._all:
            connection.cut()
        await self._server.wait_closed()

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self._all.append(connection)
        self._connections.put_nowait(connection)

    async def accept(self) -> Connection:
        async with asyncio.timeout(DEADLINE):
            return await self._connections.get()

    async def accept_login(self) -> Connection:
        connection = await self.accept()
        await connection.accept_login()
        return connection
