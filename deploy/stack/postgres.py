"""A PostgreSQL cluster of our own: own data directory, own port, reachable on 127.0.0.1 only."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

from deploy.stack import packages
from deploy.stack.account import as_account, unprivileged
from deploy.stack.child import Child, PartFailedError
from deploy.stack.ports import LOOPBACK, free_port

_USER = "movecar"


class Postgres:
    """Server on a cluster in `directory`, which survives restarts; made on the first start.

    durable=False trades safety in a crash of the machine for speed; a killed server still loses nothing.
    Raises PartMissingError when PostgreSQL cannot be had, PartFailedError when it does not start.
    """

    def __init__(self, directory: Path, *, port: int | None = None, durable: bool = True) -> None:
        self.directory = directory.absolute()
        self.port = port or free_port()
        self._durable = durable
        self._bin = packages.postgres_bin()
        self._account = unprivileged("postgres")
        self._data = self.directory / "data"
        self._password_file = self.directory / "password"
        self._child: Child | None = None

    @property
    def password(self) -> str:
        return self._password_file.read_text("ascii").strip()

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    @property
    def child(self) -> Child:
        """The running server; raises PartFailedError before the first `start()`."""
        if self._child is None:
            raise PartFailedError("PostgreSQL was not started")
        return self._child

    def url(self, database: str = "movecar") -> str:
        """SQLAlchemy URL of a database of this server."""
        return f"postgresql+asyncpg://{_USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and return when it accepts connections; makes the cluster when there is none."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        settings = {"port": self.port, "listen_addresses": LOOPBACK, "unix_socket_directories": ""}
        settings |= {"max_connections": 200, "log_checkpoints": "off"}
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}  # commits still reach the kernel
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        self._child = Child(
            "PostgreSQL",
            [str(self._bin / "postgres"), "-D", str(self._data), *options],
            log=self.log,
            account=self._account,
            needs=[self.directory],
            cwd=Path("/"),
            stop_signal=signal.SIGINT,  # "fast": clients are sent away, nothing is lost
            orphan_signal="INT",
        )
        self._child.spawn()

    def wait_ready(self, deadline: float = 30.0) -> None:
        self.child.wait_until(lambda: self._client("pg_isready", "-q").returncode == 0, deadline)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End all its processes with SIGKILL; `start()` recovers the cluster."""
        self.child.kill()
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # names a process id that may be reused

    def create_database(self, name: str) -> None:
        """Raises PartFailedError when it exists or cannot be made."""
        self._must(self._client("createdb", name))

    def ensure_database(self, name: str = "movecar") -> None:
        """Create the database unless it exists."""
        query = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"  # noqa: S608  # nosec B608 - a name of ours
        if not self._must(self._client("psql", "-XAt", "-d", "postgres", "-c", query)).strip():
            self.create_database(name)

    def drop_database(self, name: str) -> None:
        """Drop it, closing connections that tests left open."""
        self._must(self._client("dropdb", "--force", "--if-exists", name))

    def _make_cluster(self) -> None:
        self._account.own(self.directory)
        self._password_file.write_text(secrets.token_hex(24), "ascii")
        self._password_file.chmod(0o600)
        self._account.own_file(self._password_file)
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", _USER, "--encoding=UTF8"]
        command += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={self._password_file}"]
        if not self._durable:
            command.append("--no-sync")
        argv = as_account(command, self._account, [self.directory], "KILL")
        run = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise PartFailedError(f"initdb failed:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")

    def _client(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.port),
            "PGUSER": _USER,
            "PGPASSWORD": self.password,
            "PGCONNECT_TIMEOUT": "5",
        }
        command = [str(self._bin / program), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @staticmethod
    def _must(run: subprocess.CompletedProcess[str]) -> str:
        if run.returncode != 0:
            raise PartFailedError(f"{Path(run.args[0]).name} failed: {run.stderr.strip()}")
        return run.stdout
