"""A plain manager client, as simple as people write them."""

import asyncio
from typing import Self

DEADLINE = 60.0
Message = dict[str, str]


class Client:
    """One connection to the sandbox; not logged in until `login()`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.banner = ""

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            self.banner = (await self._line()).strip()
        except BaseException:
            self.writer.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    async def _line(self) -> str:
        async with asyncio.timeout(DEADLINE):
            return (await self.reader.readuntil(b"\r\n")).decode()

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, **fields: str) -> None:
        self.write("".join(f"{key}: {value}\r\n" for key, value in fields.items()).encode() + b"\r\n")

    async def receive(self) -> Message:
        message = {}
        while line := (await self._line()).rstrip("\r\n"):
            key, _, value = line.partition(": ")
            message[key] = value
        return message

    async def ask(self, **fields: str) -> Message:
        """Send an action and return its response, leaving events out."""
        self.send(**fields)
        while "Response" not in (message := await self.receive()) or "Event" in message:
            pass
        return message

    async def until(self, name: str) -> list[Message]:
        """Receive events up to and with the first of this name."""
        messages = [await self.receive()]
        while messages[-1].get("Event") != name:
            messages.append(await self.receive())
        return messages

    async def at_end(self) -> None:
        """Wait until the sandbox has closed the connection."""
        async with asyncio.timeout(DEADLINE):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
