"""The bus between processes: a Redis stream and group per consumer. Everything in Redis can be lost."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Entry
from services.common.bus.relay import routed

_PREFIX = "movecar"
_GROUP = "service"
_BLOCK_MS = 1000
_CLAIM_IDLE_MS = 15_000
_CLAIM_EVERY_SECONDS = 5.0
_COMMAND_TIMEOUT = 3.0


class RedisBus:
    """Entries of a consumer wait in its stream; an instance that died leaves its share to the others.

    `instance` names this process within its service and must be the same after a restart, so that it finds
    what it had taken and not settled. Keys live under ``{prefix}:``.
    """

    def __init__(self, url: str, instance: str, *, prefix: str = _PREFIX) -> None:
        never: Any = Retry(NoBackoff(), 0)  # retries are the callers': the defaults (10, blind) hide outages
        self._client: Any = Redis.from_url(
            url, socket_timeout=_COMMAND_TIMEOUT, socket_connect_timeout=_COMMAND_TIMEOUT, retry=never
        )
        # A read that blocks in the server needs a client whose socket outwaits it.
        self._blocking: Any = Redis.from_url(
            url,
            socket_timeout=_BLOCK_MS / 1000 + _COMMAND_TIMEOUT,
            socket_connect_timeout=_COMMAND_TIMEOUT,
            retry=never,
        )
        self._instance = instance
        self._prefix = prefix
        self._own_pending_read: set[str] = set()
        self._claimed_at: dict[str, float] = {}

    def _stream(self, consumer: str) -> str:
        return f"{self._prefix}:events:{consumer}"

    async def publish(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for consumer, share in routed(entries).items():
                for entry in share:
                    pipe.xadd(
                        self._stream(consumer),
                        {
                            "id": entry.event_id,
                            "type": entry.type,
                            "position": entry.position,
                            "payload": orjson.dumps(entry.payload),
                        },
                    )
            if len(pipe):
                await pipe.execute()

    async def next_batch(self, consumer: str, limit: int) -> list[Entry]:
        try:
            if consumer not in self._own_pending_read:
                # What this instance had taken before it was restarted comes first.
                own = await self._read(consumer, limit, after="0")
                if own:
                    return own
                self._own_pending_read.add(consumer)
            if time.monotonic() - self._claimed_at.get(consumer, 0.0) >= _CLAIM_EVERY_SECONDS:
                self._claimed_at[consumer] = time.monotonic()
                claimed = await self._client.xautoclaim(
                    self._stream(consumer), _GROUP, self._instance, _CLAIM_IDLE_MS, count=limit
                )
                if entries := _entries(claimed[1]):
                    return entries
            return await self._read(consumer, limit, after=">")
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._make_group(consumer)
            return []

    async def _read(self, consumer: str, limit: int, after: str) -> list[Entry]:
        found = await self._blocking.xreadgroup(
            _GROUP, self._instance, {self._stream(consumer): after}, count=limit, block=_BLOCK_MS
        )
        return _entries(_messages(found))

    async def _make_group(self, consumer: str) -> None:
        with contextlib.suppress(ResponseError):  # another instance made it in between
            await self._client.xgroup_create(self._stream(consumer), _GROUP, id="0", mkstream=True)

    async def settle_within(self, session: AsyncSession, consumer: str, entries: Sequence[Entry]) -> None:
        """Do nothing: Redis is told once the transaction is safe."""

    async def settle_after(self, consumer: str, entries: Sequence[Entry]) -> None:
        receipts = [entry.receipt for entry in entries]
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.xack(self._stream(consumer), _GROUP, *receipts)
            pipe.xdel(self._stream(consumer), *receipts)
            await pipe.execute()

    def retake(self, consumer: str) -> None:
        """Deliver again what this instance took and did not settle (after a handler could not run)."""
        self._own_pending_read.discard(consumer)

    async def lost_entries(self) -> bool:
        # A key that only a flush or a new server lacks.
        return bool(await self._client.set(f"{self._prefix}:epoch", int(time.time()), nx=True))

    async def ping(self) -> float:
        started = time.perf_counter()
        await self._client.ping()
        return time.perf_counter() - started

    async def close(self) -> None:
        await self._client.aclose()
        await self._blocking.aclose()


def _messages(found: Any) -> list[Any]:
    if not found:
        return []
    if isinstance(found, dict):  # RESP3
        return [message for groups in found.values() for group in groups for message in group]
    return [message for _, messages in found for message in messages]


def _entries(messages: list[Any]) -> list[Entry]:
    entries = []
    for receipt, fields in messages:
        if not fields:  # deleted from the stream while still pending: republished under another receipt
            continue
        entries.append(
            Entry(
                fields[b"id"].decode(),
                fields[b"type"].decode(),
                orjson.loads(fields[b"payload"]),
                int(fields[b"position"]),
                receipt.decode(),
            )
        )
    return entries
