"""The bus between processes: a Redis stream and group per consumer. Everything in Redis can be lost."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.bus.contract import Entry
from services.common.bus.routing import routed

log = structlog.get_logger(__name__)

_PREFIX = "movecar"
_GROUP = "service"
_NEW = ">"
_LONGEST_WAIT = 1.0
_COMMAND_TIMEOUT = 3.0
_CLAIM_AT_ONCE = 1000
LEASE_SECONDS = 10.0

# All of a batch or nothing, and only while the bus has everything before it: a newer entry must not reach a
# consumer ahead of one that was lost. ARGV: expected mark (empty: any), new mark, then per entry the number
# of its stream in KEYS, id, type, position, payload.
_PUBLISH = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 3, #ARGV, 5 do
  redis.call('XADD', KEYS[ARGV[i] + 0], '*',
    'id', ARGV[i+1], 'type', ARGV[i+2], 'position', ARGV[i+3], 'payload', ARGV[i+4])
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
_LEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisBus:
    """Entries of a consumer wait in its stream; one instance at a time reads it, which keeps their order.

    The reader holds a lease; when it dies another instance gets the lease, takes over what the dead one had
    not settled, and goes on. `instance` names this process within its service and must be the same after a
    restart, so that it carries on at once. Keys live under ``{prefix}:``.
    """

    def __init__(
        self, url: str, instance: str, *, prefix: str = _PREFIX, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        never: Any = Retry(NoBackoff(), 0)  # retries are the callers': the defaults (10, blind) hide outages
        self._client: Any = Redis.from_url(
            url, socket_timeout=_COMMAND_TIMEOUT, socket_connect_timeout=_COMMAND_TIMEOUT, retry=never
        )
        # A read that blocks in the server needs a client whose socket outwaits it.
        self._blocking: Any = Redis.from_url(
            url,
            socket_timeout=_LONGEST_WAIT + _COMMAND_TIMEOUT,
            socket_connect_timeout=_COMMAND_TIMEOUT,
            retry=never,
        )
        self._instance = instance
        self._prefix = prefix
        self._lease_seconds = lease_seconds
        self._leased_at: dict[str, float] = {}
        self._taken_upto: dict[str, str] = {}
        """How far a consumer was given again what it had taken and not settled; `_NEW`: to its end."""
        self._publish = self._client.register_script(_PUBLISH)
        self._lease = self._client.register_script(_LEASE)

    def _stream(self, consumer: str) -> str:
        return f"{self._prefix}:events:{consumer}"

    def _lease_key(self, consumer: str) -> str:
        return f"{self._prefix}:lease:{consumer}"

    @property
    def _mark(self) -> str:
        return f"{self._prefix}:mark"

    async def publish(self, entries: Sequence[Entry], *, expected: str | None, mark: str) -> bool:
        keys, arguments = [self._mark], [expected or "", mark]
        for consumer, share in routed(entries).items():
            keys.append(self._stream(consumer))
            for entry in share:
                payload = orjson.dumps(entry.payload).decode()
                arguments += [str(len(keys)), entry.event_id, entry.type, str(entry.position), payload]
        return bool(await self._publish(keys=keys, args=arguments))

    async def stands_at(self, mark: str) -> bool:
        return bool(await self._client.get(self._mark) == mark.encode())

    def announce(self, entries: Sequence[Entry]) -> None:
        """Do nothing: readers wait in the server."""

    async def next_batch(self, consumer: str, limit: int, within: float = _LONGEST_WAIT) -> list[Entry]:
        within = min(within, _LONGEST_WAIT)
        try:
            if not await self._leads(consumer):
                await asyncio.sleep(min(within, self._lease_seconds / 4))
                return []
            # What was taken before a restart, or by an instance that died, comes first.
            if (after := self._taken_upto.get(consumer, "0")) != _NEW:
                if own := await self._read(consumer, limit, within, after):
                    self._taken_upto[consumer] = own[-1].receipt
                    return own
                self._taken_upto[consumer] = _NEW
            return await self._read(consumer, limit, within, _NEW)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._make_group(consumer)
            return []

    async def _leads(self, consumer: str) -> bool:
        """Hold or get the lease; the one who gets it takes over all that is unsettled."""
        now = time.monotonic()
        held_since = self._leased_at.get(consumer)
        if held_since is not None and now - held_since < self._lease_seconds / 3:
            return True
        leads = await self._lease(
            keys=[self._lease_key(consumer)], args=[self._instance, int(self._lease_seconds * 1000)]
        )
        if not leads:
            self._leased_at.pop(consumer, None)
            return False
        if held_since is None or now - held_since > self._lease_seconds:
            await self._take_over(consumer)
        self._leased_at[consumer] = now
        return True

    async def _take_over(self, consumer: str) -> None:
        start: Any = "0-0"
        while True:
            answer = await self._client.xautoclaim(
                self._stream(consumer), _GROUP, self._instance, 0, start, count=_CLAIM_AT_ONCE
            )
            start = answer[0]
            if start == b"0-0":
                break
        self.retake(consumer)

    async def _read(self, consumer: str, limit: int, within: float, after: str) -> list[Entry]:
        block = max(1, round(within * 1000))  # 0 would be for ever
        found = await self._blocking.xreadgroup(
            _GROUP, self._instance, {self._stream(consumer): after}, count=limit, block=block
        )
        entries, unreadable = _entries(_messages(found))
        if unreadable:
            # Not of our making, or deleted from the stream meanwhile. The log has every real entry.
            log.error("stream_entries_dropped", consumer=consumer, receipts=unreadable)
            await self._settle(consumer, unreadable)
            if not entries:
                return await self._read(consumer, limit, within, after)
        return entries

    async def _make_group(self, consumer: str) -> None:
        with contextlib.suppress(ResponseError):  # another instance made it in between
            await self._client.xgroup_create(self._stream(consumer), _GROUP, id="0", mkstream=True)
            # A stream without its group is new or was lost: let the relay put back what it should hold.
            await self._client.delete(self._mark)

    async def settle_within(self, session: AsyncSession, consumer: str, entries: Sequence[Entry]) -> None:
        """Do nothing: Redis is told once the transaction is safe."""

    async def settle_after(self, consumer: str, entries: Sequence[Entry]) -> None:
        await self._settle(consumer, [entry.receipt for entry in entries])

    async def _settle(self, consumer: str, receipts: Sequence[str]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.xack(self._stream(consumer), _GROUP, *receipts)
            pipe.xdel(self._stream(consumer), *receipts)
            await pipe.execute()

    def retake(self, consumer: str) -> None:
        self._taken_upto.pop(consumer, None)

    async def ping(self) -> float:
        started = time.perf_counter()
        await self._client.ping()
        return time.perf_counter() - started

    async def close(self) -> None:
        """Leave the leases to other instances and close the connections."""
        with contextlib.suppress(RedisError, OSError):
            for consumer in self._leased_at:
                await self._client.eval(_RELEASE, 1, self._lease_key(consumer), self._instance)
        await self._client.aclose()
        await self._blocking.aclose()


def _messages(found: Any) -> list[Any]:
    if not found:
        return []
    if isinstance(found, dict):  # RESP3
        return [message for groups in found.values() for group in groups for message in group]
    return [message for _, messages in found for message in messages]


def _entries(messages: Iterable[Any]) -> tuple[list[Entry], list[str]]:
    """Return the entries of a stream's messages, and the receipts of those that are none."""
    entries: list[Entry] = []
    unreadable: list[str] = []
    for receipt, fields in messages:
        try:
            entries.append(
                Entry(
                    fields[b"id"].decode(),
                    fields[b"type"].decode(),
                    dict(orjson.loads(fields[b"payload"])),
                    int(fields[b"position"]),
                    receipt.decode(),
                )
            )
        except (KeyError, TypeError, ValueError):
            unreadable.append(receipt.decode())
    return entries, unreadable
