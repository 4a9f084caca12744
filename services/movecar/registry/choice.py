"""Which registry this installation asks: the provincial platform, or the local one loaded from a file."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from services.common.phones import own_lines
from services.common.service import Kernel
from services.movecar.registry.answers import VehicleRegistry
from services.movecar.registry.csv_load import load_csv
from services.movecar.registry.demo import DEMO_CSV
from services.movecar.registry.generations import active_source
from services.movecar.registry.http import HttpRegistry
from services.movecar.registry.local import LocalRegistry

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ChosenRegistry:
    """The registry in use and what it needs around it."""

    kernel: Kernel
    registry: VehicleRegistry
    platform: HttpRegistry | None

    async def start(self) -> None:
        """Connect to the platform, or load the configured file when it is not the one already active."""
        if self.platform is not None:
            await self.platform.start()
            return
        file = self._file()
        if file is None:
            return
        report = await load_csv(
            file,
            self.kernel.database,
            self.kernel.keys,
            self.kernel.clock,
            own=own_lines(self.kernel.settings.desk_phone),
            issues_dir=self.kernel.settings.data_dir / "registry",
            only_if_changed=True,
        )
        if not report.unchanged:
            log.info(
                "registry_loaded",
                loaded=report.loaded,
                rejected=report.rejected,
                issues_file=str(report.issues_file),
            )

    def _file(self) -> Path | None:
        settings = self.kernel.settings
        if settings.registry_csv is not None:
            return settings.registry_csv
        return DEMO_CSV if settings.is_demo else None

    async def close(self) -> None:
        """Let go of the platform's connections."""
        if self.platform is not None:
            await self.platform.close()

    async def check(self) -> str | None:
        """Tell what keeps lookups from being answered (readiness)."""
        if self.platform is not None:
            return self.platform.trouble()
        if await active_source(self.kernel.database) is not None:
            return None
        return "no vehicles loaded: run  python -m services load-registry FILE"


def choose_registry(kernel: Kernel) -> ChosenRegistry:
    """Return the registry that the settings name."""
    settings = kernel.settings
    if settings.registry_url:
        platform = HttpRegistry(
            settings.registry_url,
            settings.registry_token.get_secret_value(),
            kernel.clock,
            own=own_lines(settings.desk_phone),
        )
        return ChosenRegistry(kernel, platform, platform)
    return ChosenRegistry(kernel, LocalRegistry(kernel.database, kernel.keys), None)
