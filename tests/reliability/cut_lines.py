"""Lines between the services and their servers that can be cut as a network is: nothing passes.

What is under way when a line is cut stays so and arrives when it is mended, as TCP sees to on a network. A
connection that is begun meanwhile is taken and hears nothing; none is refused or reset.
"""

import asyncio
import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit, urlunsplit

LOOPBACK = "127.0.0.1"
_CHUNK = 65_536


class CutLines:
    """Any number of lines, on a thread of their own: neither they nor the measuring wait for the other."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._whole = asyncio.Event()
        self._whole.set()
        self._ports: dict[int, int] = {}
        self._servers: list[asyncio.Server] = []
        self._passing: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def to(self, port: int) -> int:
        """Return a port that leads to `port` of this machine."""
        if port not in self._ports:
            listening = socket.create_server((LOOPBACK, 0))
            self._ports[port] = listening.getsockname()[1]
            asyncio.run_coroutine_threadsafe(self._serve(listening, port), self._loop).result(10)
        return self._ports[port]

    def through(self, url: str) -> str:
        """Return a URL that leads to the same place over a line."""
        parts = urlsplit(url)
        assert parts.port is not None
        netloc = parts.netloc.removesuffix(f":{parts.port}") + f":{self.to(parts.port)}"
        return urlunsplit(parts._replace(netloc=netloc))

    def cut(self) -> None:
        """Let nothing pass any more, on any line."""
        self._loop.call_soon_threadsafe(self._whole.clear)

    def mend(self) -> None:
        """Let everything pass again."""
        self._loop.call_soon_threadsafe(self._whole.set)

    async def _serve(self, listening: socket.socket, port: int) -> None:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._passing.add(task)
            try:
                await self._join(reader, writer, port)
            finally:
                self._passing.discard(task)
                writer.transport.abort()

        self._servers.append(await asyncio.start_server(take, sock=listening))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        await self._whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return
        ways = [
            asyncio.create_task(self._pass(reader, far_writer)),
            asyncio.create_task(self._pass(far_reader, writer)),
        ]
        try:
            # When either end is closed the other one hears of it; half-open connections nobody here uses.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
            await self._whole.wait()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
