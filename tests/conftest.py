"""Real servers for tests, started only when a test asks for one and stopped with the session."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack.postgres import Postgres
from deploy.stack.redis import DATABASES, Redis

_database_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """Directory for servers' files, short (socket paths) and removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="movecar-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(server_home: Path) -> Iterator[Postgres]:
    """A PostgreSQL server of this session; tests that kill it start one of their own."""
    server = Postgres(server_home / "postgres", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of this test alone."""
    name = f"test_{next(_database_numbers)}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def redis_server(server_home: Path) -> Iterator[Redis]:
    """A Redis server of this session."""
    server = Redis(server_home / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """URL of a Redis database, empty at the start of this test."""
    number = next(_database_numbers) % DATABASES
    redis_server.flush(number)
    return redis_server.url(number)
