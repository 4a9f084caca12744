"""From the command line to a running process: settings, logs, schema, services, signals."""

import sys
from collections.abc import Callable, Sequence

import structlog
import uvloop

from services.common.logs import configure_logs
from services.common.migrations import SchemaOutdated, current, require_current, upgrade
from services.common.service import Kernel, Process, Service, run_until_signalled
from services.common.settings import Settings, SettingsError, load_settings

log = structlog.get_logger(__name__)

Build = Callable[[Kernel], Service]

MISUSED = 2
"""Exit status for wrong settings or an outdated schema: restarting does not help."""


def read_settings(**overrides: object) -> Settings:
    """Return the settings; say what is wrong with them and exit with 2 when they are."""
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        sys.stderr.write(f"movecar cannot start, settings are wrong:\n{error}\n")
        sys.exit(MISUSED)


def run_services(
    name: str,
    builders: Sequence[Build],
    settings: Settings,
    listen: str,
    on_ready: Callable[[Process], None] | None = None,
) -> None:
    """Run services in this process until SIGINT or SIGTERM; exit with 2 when the database is outdated."""
    configure_logs(settings.log_format, name)
    try:
        uvloop.run(_run(builders, settings, listen, on_ready))
    except SchemaOutdated as error:
        sys.stderr.write(f"movecar cannot start: {error}\n")
        sys.exit(MISUSED)


async def _run(
    builders: Sequence[Build],
    settings: Settings,
    listen: str,
    on_ready: Callable[[Process], None] | None,
) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    kernel = Kernel.build(settings)
    try:
        # An empty database has nothing to lose; one with data is upgraded when its operator says so.
        if settings.embedded or await current(kernel.database) is None:
            await upgrade(kernel.database)
        await require_current(kernel.database)
    except BaseException:
        await kernel.bus.close()
        await kernel.database.close()
        raise
    process = Process(kernel, [build(kernel) for build in builders], listen)
    await run_until_signalled(process, None if on_ready is None else lambda: on_ready(process))
