"""Looking at the parts: each probe asks one of them for itself, with a deadline, and says what it found."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.common.clock import Clock
from services.common.database import Database
from services.escalation.faults.detection.judge import Reading

Probe = Callable[[], Awaitable[Mapping[str, Reading]]]

GOOD = Reading("good")
UNKNOWN = Reading("unknown")
LIVE_SECONDS = 3.0
READY_SECONDS = 5.0
PING_SECONDS = 3.0
MAX_SKEW_SECONDS = 5.0
FULL_BYTES = 1024 * 1024
"""With less left nothing of use can be written, though a small file of ours may still find a hole."""
LOW_SPACE_BYTES = 500 * 1024 * 1024
LOW_SPACE_SHARE = 0.05
_HIDES: Mapping[str, Sequence[str]] = {
    "pbx": ("trunk", "trunks_out"),
    "trunk": ("trunks_out",),
    "calls_stopped": ("calls",),
    # Whoever counts them, or looks into them, asks the database.
    "database": ("operators", "calls", "calls_stopped", "registry"),
}
"""Part → parts of which nothing can be said while it is down."""
_BANNER = b"Asterisk Call Manager/"


def bad(detail: str) -> Reading:
    """Return a bad reading; the detail is a short text without data of anybody."""
    return Reading("bad", detail)


async def bounded(probe: Probe, names: Sequence[str], seconds: float) -> Mapping[str, Reading]:
    """Return what a probe finds; one that hangs or fails says that of each of its parts."""
    try:
        async with asyncio.timeout(seconds):
            return await probe()
    except TimeoutError:
        return dict.fromkeys(names, bad(f"{seconds:g}秒内无应答"))
    except Exception as error:
        return dict.fromkeys(names, bad(f"无法访问（{type(error).__name__}）"))


def base_url(address: str) -> str:
    """Return where to ask a neighbour that listens at an address; one that listens everywhere is here."""
    host, _, port = address.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104  # nosec B104 - compared, not bound
    return f"http://{here}:{port}"


class ProcessProbe:
    """A neighbour's process: `/livez` says that it runs, `/readyz` what is wrong with the parts it sees.

    `parts` are those whose problems and warnings its `/readyz` names.
    """

    def __init__(self, name: str, address: str, parts: Sequence[str], clock: Clock) -> None:
        self.name = name
        self._base = base_url(address)
        self._parts = parts
        self._clock = clock

    async def __call__(self) -> Mapping[str, Reading]:
        # A connection of its own for each look: one that is kept may be the only thing that still works.
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=LIVE_SECONDS), cookie_jar=aiohttp.DummyCookieJar()
        ) as http:
            found: dict[str, Reading] = {}
            try:
                async with http.get(f"{self._base}/livez") as response:
                    date = response.headers.get("Date", "")
                    alive = response.status == HTTPStatus.OK
                    found[self.name] = GOOD if alive else bad(f"应答 {response.status}")
            except TimeoutError:
                found[self.name] = bad(f"进程{LIVE_SECONDS:g}秒内无应答")
                return found
            except (aiohttp.ClientError, OSError) as error:
                found[self.name] = bad(f"进程不可达（{type(error).__name__}）")
                return found
            if skewed := skew(date, self._clock.now()):
                found["clock"] = bad(skewed)
            return {**found, **await self._seen(http)}

    async def _seen(self, http: aiohttp.ClientSession) -> Mapping[str, Reading]:
        try:
            timeout = aiohttp.ClientTimeout(total=READY_SECONDS)
            async with http.get(f"{self._base}/readyz", timeout=timeout) as response:
                report: dict[str, Any] = await response.json()
                said = {**report.get("warnings", {}), **report.get("problems", {})}
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError):
            return {}
        return parts_seen(said, self._parts)


def parts_seen(said: Mapping[str, Any], parts: Sequence[str]) -> dict[str, Reading]:
    """Return what problems and warnings say of the parts: what is not named is well.

    Of a part behind one that is down nothing is known: a trunk does not recover by Asterisk's going away.
    """
    return unseen({name: bad(str(said[name])[:200]) if name in said else GOOD for name in parts})


def unseen(found: Mapping[str, Reading]) -> dict[str, Reading]:
    """Return what was found, with nothing known of the parts behind one that is down."""
    found = dict(found)
    for name, hidden in _HIDES.items():
        if found.get(name, GOOD).health == "bad":
            found |= {other: UNKNOWN for other in hidden if other in found}
    return found


def skew(date: str, now: datetime) -> str:
    """Return how far a neighbour's `Date` is from our clock, when that is too far; empty when it is not."""
    try:
        return apart("相邻进程", parsedate_to_datetime(date), now)
    except (ValueError, TypeError):
        return ""


def apart(whom: str, theirs: datetime, ours: datetime) -> str:
    """Return how far two clocks are apart, when that is too far; empty when it is not."""
    seconds = abs((theirs - ours).total_seconds())
    return f"与{whom}相差{seconds:.0f}秒" if seconds > MAX_SKEW_SECONDS else ""


class DatabaseProbe:
    """The main database, over a connection of its own; a server's clock is a second opinion on ours."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._database = Database(url, pool_size=2)
        self._has_clock = url.startswith("postgresql")
        self._clock = clock

    async def __call__(self) -> Mapping[str, Reading]:
        await self._database.ping()
        if self._has_clock and (skewed := apart("数据库", await self._their_time(), self._clock.now())):
            return {"database": GOOD, "clock": bad(skewed)}
        return {"database": GOOD}

    async def _their_time(self) -> datetime:
        async with self._database.engine.connect() as connection:
            found: datetime = (await connection.exec_driver_sql("SELECT clock_timestamp()")).scalar_one()
            return found

    async def close(self) -> None:
        """Close the connection."""
        await self._database.close()


class RedisProbe:
    """Redis, over a connection of its own."""

    def __init__(self, url: str) -> None:
        never: Any = Retry(NoBackoff(), 0)
        self._client: Any = Redis.from_url(
            url, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS, retry=never
        )

    async def __call__(self) -> Mapping[str, Reading]:
        await self._client.ping()
        return {"redis": GOOD}

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()


class ManagerProbe:
    """Asterisk's manager: it greets whoever connects. Without log-in: nothing of outbound is needed.

    Of several nodes one is enough: calls go there. That a single one is away is outbound's to tell.
    """

    def __init__(self, nodes: Sequence[tuple[str, int]]) -> None:
        self._nodes = nodes

    async def __call__(self) -> Mapping[str, Reading]:
        looks = [asyncio.ensure_future(_greeting(*node)) for node in self._nodes]
        try:
            for look in asyncio.as_completed(looks):
                with contextlib.suppress(OSError):
                    if await look:
                        return {"pbx": GOOD}
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
        if failed := next((error for look in looks if (error := look.exception())), None):
            raise failed
        return {"pbx": bad("未返回AMI标识")}


async def _greeting(host: str, port: int) -> bool:
    """Whether an Asterisk manager answers there. Raises OSError when nobody does."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        greeting = await reader.read(len(_BANNER))
    finally:
        writer.close()
    return bool(greeting) and _BANNER.startswith(greeting)


class DiskProbe:
    """The disk under the data directory: can a file be written and forced out, and how much room is left."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "probe"
        self._under_way: asyncio.Future[Mapping[str, Reading]] | None = None

    async def __call__(self) -> Mapping[str, Reading]:
        if self._under_way is not None and not self._under_way.done():
            return {"disk": bad("写入无响应")}  # the last look still hangs in the kernel
        self._under_way = asyncio.get_running_loop().run_in_executor(None, self._look)
        return await asyncio.shield(self._under_way)

    def _look(self) -> Mapping[str, Reading]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A new file each time: one that is written over would go on fitting into the place it has.
            self._file.unlink(missing_ok=True)
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(handle, b"\0" * 4096)
                os.fsync(handle)
            finally:
                os.close(handle)
            usage = shutil.disk_usage(self._file.parent)
        except OSError as error:
            return {"disk": bad(f"无法写入（errno {error.errno}）")}
        if usage.free < FULL_BYTES:
            return {"disk": bad("已满")}
        low = usage.free < min(LOW_SPACE_BYTES, usage.total * LOW_SPACE_SHARE)
        left = f"剩余{usage.free // 1024 // 1024} MB"
        return {"disk": GOOD, "disk_low": bad(left) if low else GOOD}


def merge(found: Sequence[Mapping[str, Reading]]) -> dict[str, Reading]:
    """Return one reading a part: bad when anybody found it bad, unknown only when nobody could look."""
    merged: dict[str, Reading] = {}
    rank = {"unknown": 0, "good": 1, "bad": 2}
    for readings in found:
        for name, reading in readings.items():
            before = merged.get(name)
            if before is None or rank[reading.health] > rank[before.health]:
                merged[name] = reading
    return merged
