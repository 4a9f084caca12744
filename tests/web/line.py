"""A network line between a browser and a server that can be cut, or go silent without a word."""

import asyncio
from types import TracebackType
from typing import Self


class Line:
    """Forwards TCP from a port of its own, `address`, to `target` (HOST:PORT)."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._up = asyncio.Event()
        self._up.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()

    def silence(self) -> None:
        """Let nothing through any more while connections stay open: a pulled cable."""
        self._up.clear()

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._refusing = True
        self._up.set()
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        """Carry everything again. What a silent line had swallowed stays lost, as its connections are."""
        if not self._up.is_set():
            for writer in self._writers:
                writer.close()
        self._refusing = False
        self._up.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.close()
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, onward_writer}
        await asyncio.gather(self._carry(reader, onward_writer), self._carry(onward_reader, writer))
        self._writers -= {writer, onward_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._up.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
