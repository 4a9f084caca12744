"""The installation that is measured: `make stack`'s own, with room for load and the bench's owners."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from deploy.asterisk.prompts import prompt_directory
from deploy.stack.account import myself
from deploy.stack.asterisk import Asterisk
from deploy.stack.child import Child
from deploy.stack.service import ROOT, ServiceProcess
from deploy.stack.stack import Stack, StackPlan
from tests.bench.owners import BenchOwners
from tests.bench.switch import HastySwitch

SERVICES = ("movecar", "outbound", "escalation")
PASSWORD = "only-for-the-bench"
_MOST_CALLS = 450


class Installation(Stack):
    """A stack whose calls go to owners that press at once. `profiles`: where to sample the services to."""

    def __init__(
        self, directory: Path, registry: Path, window: int, report: object, profiles: Path | None = None
    ) -> None:
        self.bench_owners = BenchOwners(directory / "owners")
        self._profiles = profiles
        plan = StackPlan(
            directory / "stack",
            trunk_uri=self.bench_owners.uri,
            environment={
                "MOVECAR_DEMO_PASSWORD": PASSWORD,
                "MOVECAR_REGISTRY_CSV": str(registry),
                "MOVECAR_MAX_CONCURRENT_CALLS": str(window),
                "MOVECAR_REDIAL": "{}",  # a call that goes wrong must be seen, not made good
            },
        )
        super().__init__(plan, report)  # type: ignore[arg-type]

    @property
    def database(self) -> str:
        """URL for asyncpg."""
        return self.postgres.url().replace("postgresql+asyncpg", "postgresql")

    def pids(self) -> dict[str, int]:
        """Process ids of all parts, by name."""
        pids = {name: self.part(name).child.pid for name in self.parts}
        return pids | {"sipp": self.bench_owners.child.pid}

    @contextlib.asynccontextmanager
    async def other_switch(self, kind: type[HastySwitch]) -> AsyncIterator[Asterisk]:
        """A switch that nobody collects from, for a loop by itself."""
        switch = self._hasty("other-switch", kind)
        switch.spawn()
        try:
            await asyncio.to_thread(switch.wait_ready)
            yield switch
        finally:
            await asyncio.to_thread(switch.stop)

    def _hasty(self, name: str, kind: type[HastySwitch] = HastySwitch) -> HastySwitch:
        return kind(
            self.plan.directory.absolute() / name,
            prompts=prompt_directory(),
            trunk_uri=self.trunk_uri,
            max_calls=_MOST_CALLS,
        )

    def sample(self, on: bool) -> None:
        """Begin or end sampling the services, when there are `profiles`."""
        if self._profiles is not None:
            for name in SERVICES:
                os.kill(self.service(name).child.pid, signal.SIGUSR1 if on else signal.SIGUSR2)

    async def start(self) -> None:
        self.bench_owners.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        self.bench_owners.stop()

    def _make_servers(self) -> None:
        super()._make_servers()
        self._parts["asterisk"] = self._hasty("asterisk")

    def _make_services(self, environment: Mapping[str, str]) -> None:
        environment = {**environment, "MOVECAR_PROMPTS_DIR": str(prompt_directory())}
        super()._make_services(environment)
        if self._profiles is not None:
            for name in SERVICES:
                service = self.service(name)
                self._parts[name] = _Sampled(service, environment, self._profiles / f"{name}.txt")


class _Sampled(ServiceProcess):
    """A service under the sampler."""

    def __init__(self, plain: ServiceProcess, environment: Mapping[str, str], out: Path) -> None:
        super().__init__(plain.name, plain.listen, environment, plain.log, plain._path)
        self._out = out

    def spawn(self) -> None:
        command = [sys.executable, "-m", "tests.bench.sampler", str(self._out), f"services.{self.name}"]
        self._child = Child(
            self.name,
            command,
            log=self.log,
            account=myself(),
            cwd=ROOT,
            env=self._environment,
            orphan_signal="TERM",
        )
        self._child.spawn()
