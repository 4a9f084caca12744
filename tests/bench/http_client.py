"""The least of HTTP/1.1, so that offering load takes little of the machine that is being measured."""

import asyncio
from typing import Any, Self

import orjson


class Connection:
    """One keep-alive connection that asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = f"Host: {host}\r\nContent-Type: application/json\r\n"

    @classmethod
    async def open(cls, address: str, token: str = "") -> Self:
        """Connect to HOST:PORT and send `token` with every request."""
        host, _, port = address.rpartition(":")
        connection = cls(*await asyncio.open_connection(host, int(port)), address)
        if token:
            connection._head += f"Authorization: Bearer {token}\r\n"
        return connection

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request; return the status and the decoded JSON of the answer."""
        content = b"" if body is None else orjson.dumps(body)
        head = f"{method} /api/v1{path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode("ascii") + content)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        length = next(
            int(line.partition(":")[2]) for line in answer if line.lower().startswith("content-length:")
        )
        raw = await self._reader.readexactly(length)
        return int(answer[0].split()[1]), orjson.loads(raw) if raw else None

    async def follow(self, path: str) -> None:
        """Read a live stream for ever, as a console does. Raises ConnectionError when it ends."""
        self._writer.write(f"GET /api/v1{path} HTTP/1.1\r\n{self._head}\r\n".encode("ascii"))
        while await self._reader.read(65_536):
            pass
        raise ConnectionError(f"{path} ended")

    def close(self) -> None:
        """Close without waiting."""
        self._writer.close()


async def log_in(address: str, username: str, password: str) -> str:
    """Return a session's token. Raises RuntimeError when the log-in is refused."""
    connection = await Connection.open(address)
    status, answer = await connection.ask(
        "POST", "/sessions", {"username": username, "password": password, "totp": None}
    )
    connection.close()
    if status != 201:
        raise RuntimeError(f"log-in of {username} was answered {status}: {answer}")
    return str(answer["token"])
