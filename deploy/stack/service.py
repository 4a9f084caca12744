"""One of the product's own processes: `python -m services.<name>`."""

import http.client
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.stack.account import myself
from deploy.stack.child import Child, PartFailedError

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""


class ServiceProcess:
    """A service with its settings as environment variables. Ready when `path` of its address answers 200."""

    def __init__(
        self, name: str, listen: str, environment: Mapping[str, str], log: Path, path: str = "/livez"
    ) -> None:
        """`name`: of the service, and perhaps `-` and which one of several it is."""
        self.name = name
        self.listen = listen
        self.log = log
        self._environment = dict(environment)
        self._path = path
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running process; raises PartFailedError before it was spawned."""
        if self._child is None:
            raise PartFailedError(f"{self.name} was not started")
        return self._child

    def spawn(self) -> None:
        self._child = Child(
            self.name,
            [sys.executable, "-m", f"services.{self.name.partition('-')[0]}"],
            log=self.log,
            account=myself(),
            cwd=ROOT,
            env=self._environment,
            orphan_signal="TERM",
        )
        self._child.spawn()

    def wait_ready(self, deadline: float = 60.0) -> None:
        """Raises PartFailedError, with what it lacks, when it dies or the deadline (seconds) passes."""
        try:
            self.child.wait_until(lambda: not self.lacks(self._path), deadline)
        except PartFailedError as error:
            raise PartFailedError(f"{error}\n{self._path} answers: {self.lacks(self._path)}") from None

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.child.kill()

    def lacks(self, path: str = "/readyz") -> str:
        """Return what `path` says is missing, or that there is no answer; empty when nothing is."""
        connection = http.client.HTTPConnection(self.listen, timeout=5.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return "" if answer.status == http.client.OK else answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()


def migrate(environment: Mapping[str, str], log: Path) -> None:
    """Create or upgrade the tables by the service's own command. Raises PartFailedError."""
    child = Child(
        "migrations",
        [sys.executable, "-m", "services", "migrate"],
        log=log,
        account=myself(),
        cwd=ROOT,
        env=environment,
    )
    child.spawn()
    if not child.wait(120.0) or child.exit_code != 0:
        child.kill()
        raise PartFailedError(f"migrations failed:\n{child.log_tail()}")
