"""Which registry this installation asks: the provincial platform, or the local one loaded from a file."""

from pathlib import Path

import structlog

from services.common.phones import own_lines
from services.common.service import Kernel
from services.movecar.registry.answers import VehicleRegistry
from services.movecar.registry.csv_load import load_csv
from services.movecar.registry.csv_source import LoadRefused
from services.movecar.registry.demo import DEMO_CSV
from services.movecar.registry.generations import LoadLost, active_source, sweep
from services.movecar.registry.http import HttpRegistry
from services.movecar.registry.local import LocalRegistry

log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 3600.0


class LocalSource:
    """The local registry and the file it is loaded from, if the settings name one."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._local = LocalRegistry(kernel.database, kernel.keys)
        self.registry: VehicleRegistry = self._local
        self._loaded = False

    async def start(self) -> None:
        """Load the file now when there are no vehicles yet; otherwise `keep` does it beside the service."""
        if await active_source(self._kernel.database) is None:
            await self._load()

    async def keep(self) -> None:
        """Bring the vehicles up to date with the file, then delete what replaced loads left, for ever."""
        if not self._loaded:
            await self._load()
        while True:
            await sweep(self._kernel.database, self._kernel.clock)
            await self._kernel.clock.sleep(_SWEEP_SECONDS)

    async def _load(self) -> None:
        self._loaded = True
        kernel, file = self._kernel, self._file()
        if file is None:
            return
        try:
            report = await load_csv(
                file,
                kernel.database,
                kernel.keys,
                kernel.clock,
                own=own_lines(kernel.settings.desk_phone),
                issues_dir=kernel.settings.data_dir / "registry",
                only_if_changed=True,
            )
        except (LoadRefused, LoadLost) as error:
            # Vehicles of an earlier load still serve; with none, readiness says so.
            log.error("registry_not_loaded", file=str(file), reason=str(error))  # noqa: TRY400
            return
        if not report.unchanged:
            log.info(
                "registry_loaded",
                loaded=report.loaded,
                rejected=report.rejected,
                issues_file=str(report.issues_file) if report.issues_file else None,
            )

    def _file(self) -> Path | None:
        settings = self._kernel.settings
        if settings.registry_csv is not None:
            return settings.registry_csv
        return DEMO_CSV if settings.is_demo else None

    async def check(self) -> str | None:
        """Tell what keeps lookups from being answered (readiness)."""
        if await active_source(self._kernel.database) is not None:
            return None
        return "no vehicles loaded: run  python -m services load-registry FILE"

    async def close(self) -> None:
        """Let go of lookups under way."""
        await self._local.close()


class PlatformSource:
    """The provincial platform (A2)."""

    def __init__(self, kernel: Kernel) -> None:
        settings = kernel.settings
        self._platform = HttpRegistry(
            settings.registry_url,
            settings.registry_token.get_secret_value(),
            kernel.clock,
            own=own_lines(settings.desk_phone),
            ca_file=settings.registry_ca,
        )
        self.registry: VehicleRegistry = self._platform

    async def start(self) -> None:
        """Make ready to ask."""
        await self._platform.start()

    async def check(self) -> str | None:
        """Tell what keeps lookups from being answered (readiness)."""
        return await self._platform.trouble()

    async def close(self) -> None:
        """Let go of connections."""
        await self._platform.close()


def choose_registry(kernel: Kernel) -> LocalSource | PlatformSource:
    """Return the registry that the settings name."""
    return PlatformSource(kernel) if kernel.settings.registry_url else LocalSource(kernel)
