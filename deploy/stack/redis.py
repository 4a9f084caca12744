"""A Redis server of our own: own port and directory, nothing written to disk."""

import secrets
import socket
from pathlib import Path

from deploy.stack import packages
from deploy.stack.account import unprivileged
from deploy.stack.child import Child, PartFailedError
from deploy.stack.ports import LOOPBACK, free_port

DATABASES = 64


class Redis:
    """Server that forgets everything when it ends: Redis is never the record, and tests rely on that.

    Raises PartMissingError when Redis cannot be had, PartFailedError when it does not start.
    """

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory.absolute()
        self.port = port or free_port()
        self._program = packages.redis_server()
        self._account = unprivileged("redis")
        self._password = secrets.token_hex(24)
        self._child: Child | None = None

    @property
    def log(self) -> Path:
        return self.directory / "redis.log"

    @property
    def child(self) -> Child:
        """The running server; raises PartFailedError before the first `start()`."""
        if self._child is None:
            raise PartFailedError("Redis was not started")
        return self._child

    def url(self, database: int = 0) -> str:
        """URL for redis-py; `database` is 0 to DATABASES - 1."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        self._account.own(self.directory)
        settings = self.directory / "redis.conf"
        settings.write_text(
            f"bind {LOOPBACK}\nport {self.port}\nrequirepass {self._password}\ndatabases {DATABASES}\n"
            f'dir {self.directory}\nsave ""\nappendonly no\n'
        )
        settings.chmod(0o600)  # the password must not be on the command line
        self._account.own_file(settings)
        self._child = Child(
            "Redis",
            [str(self._program), str(settings)],
            log=self.log,
            account=self._account,
            needs=[self.directory],
            cwd=Path("/"),
            orphan_signal="TERM",
        )
        self._child.spawn()

    def wait_ready(self, deadline: float = 15.0) -> None:
        self.child.wait_until(self._answers, deadline)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL; what it held is gone."""
        self.child.kill()

    def flush(self, database: int | None = None) -> None:
        """Forget everything, or one database's keys."""
        if database is None:
            self._ask("FLUSHALL")
        else:
            self._ask(f"SELECT {database}", "FLUSHDB")

    def _ask(self, *commands: str) -> None:
        with socket.create_connection((LOOPBACK, self.port), timeout=5.0) as connection:
            connection.settimeout(5.0)
            answers = connection.makefile("rb")
            for command in (f"AUTH {self._password}", *commands):
                connection.sendall(command.encode("ascii") + b"\r\n")
                answer = answers.readline()
                if not answer.startswith(b"+"):
                    raise PartFailedError(f"Redis answered {answer!r} to {command.split()[0]}")

    def _answers(self) -> bool:
        try:
            self._ask("PING")
        except (OSError, PartFailedError):
            return False
        return True
