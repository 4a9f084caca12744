"""From the command line to a running process: settings, logs, schema, services, signals."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.database import Database, is_outage
from services.common.logs import configure_logs
from services.common.migrations import SchemaOutdated, current, require_current, upgrade
from services.common.service import Kernel, Process, Service, run_until_signalled
from services.common.settings import Settings, SettingsError, load_settings

log = structlog.get_logger(__name__)

Build = Callable[[Kernel], Service]
_T = TypeVar("_T")

_FIRST_LOOK_SECONDS = 6.0
_LOOK_SECONDS = 60.0
_AGAIN_SECONDS = 1.0

MISUSED = 2
"""Exit status for wrong settings or an outdated schema: restarting does not help."""


def read_settings(**overrides: object) -> Settings:
    """Return the settings; say what is wrong with them and exit with 2 when they are."""
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        sys.stderr.write(f"movecar cannot start, settings are wrong:\n{error}\n")
        sys.exit(MISUSED)


def read_database(settings: Settings, read: Callable[[AsyncSession], Awaitable[_T]]) -> _T:
    """Return what a command reads; say so and exit with 2 when the database is away or outdated."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    async def connected() -> _T:
        database = Database(settings.database)
        try:
            await require_current(database)
            async with database.reading() as session:
                return await read(session)
        finally:
            await database.close()

    try:
        return asyncio.run(connected())
    except SchemaOutdated as error:
        problem = str(error)
    except (SQLAlchemyError, OSError) as error:
        if not is_outage(error):
            raise
        problem = "数据库不可用，请检查 MOVECAR_DATABASE_URL。"
    sys.stderr.write(f"{problem}\n")
    sys.exit(MISUSED)


def run_services(
    name: str,
    builders: Sequence[Build],
    settings: Settings,
    listen: str,
    on_ready: Callable[[Process], None] | None = None,
    *,
    independent: bool = False,
) -> None:
    """Run services in this process until SIGINT or SIGTERM; exit with 2 when the database is outdated.

    An `independent` process starts without the database too, and goes on when it finds it (C4).
    """
    configure_logs(settings.log_format, name)
    try:
        uvloop.run(_run(builders, settings, listen, on_ready, independent=independent))
    except SchemaOutdated as error:
        sys.stderr.write(f"movecar cannot start: {error}\n")
        sys.exit(MISUSED)


async def _run(
    builders: Sequence[Build],
    settings: Settings,
    listen: str,
    on_ready: Callable[[Process], None] | None,
    *,
    independent: bool,
) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    kernel = Kernel.build(settings)
    prepare: Callable[[], Awaitable[None]] | None = None
    try:
        await _bring_to_date(kernel, within=_FIRST_LOOK_SECONDS if independent else None)
    except BaseException as error:
        if not (independent and (is_outage(error) or isinstance(error, SchemaOutdated))):
            await kernel.bus.close()
            await kernel.database.close()
            raise
        log.error("started_without_database", error=repr(error))  # noqa: TRY400
        prepare = partial(_wait_for_database, kernel)
    process = Process(kernel, [build(kernel) for build in builders], listen, prepare)
    await run_until_signalled(process, None if on_ready is None else lambda: on_ready(process))


async def _bring_to_date(kernel: Kernel, within: float | None = None) -> None:
    """Raise SchemaOutdated, or what the database raises; TimeoutError when it hangs."""
    async with asyncio.timeout(within):
        # An empty database has nothing to lose; one with data is upgraded when its operator says so.
        if kernel.settings.embedded or await current(kernel.database) is None:
            await upgrade(kernel.database)
        await require_current(kernel.database)


async def _wait_for_database(kernel: Kernel) -> None:
    waiting_for = ""
    while True:
        try:
            await _bring_to_date(kernel, within=_LOOK_SECONDS)
        except Exception as error:  # also an outdated schema: faults go on being watched until it is upgraded
            if waiting_for != type(error).__name__:
                waiting_for = type(error).__name__
                log.error("waits_for_database", error=repr(error))  # noqa: TRY400
            await kernel.clock.sleep(_AGAIN_SECONDS)
        else:
            log.warning("database_found")
            return
