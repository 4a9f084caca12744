"""Real servers for tests, started only when a test asks for one and stopped with the session."""

import dataclasses
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from deploy.asterisk.prompts import Voice, prompt_directory
from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from deploy.stack.packages import PartMissingError
from deploy.stack.ports import SHARE
from deploy.stack.postgres import Postgres
from deploy.stack.redis import DATABASES, Redis
from deploy.stack.seats import Seats
from deploy.stack.test_run import in_ci
from services.movecar.people import passwords

SEATS = ("op1", "op2", "busy", "declines", "deaf", "hasty", "brief", "awayx")
"""Seats of the session's switch, named as `deploy.stack.seats` behaves; nobody is at the last one."""

# How long an example takes is the machine's business: bounds on time belong in `make bench`.
hypothesis.settings.register_profile("movecar", deadline=None)
hypothesis.settings.load_profile("movecar")

# A password check is made slow and hungry for memory: it took a third of the time of the tests that need no
# server. `tests/unit/movecar/people/test_passwords.py` is about the real one, and so is every child process.
passwords.HASHER = PasswordHasher.from_parameters(CHEAPEST)


def pytest_configure(config: pytest.Config) -> None:
    """Give each of the processes that work side by side (`make test`) ports that no other one takes."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        os.environ[SHARE] = f"{worker['workerid'].removeprefix('gw')}/{worker['workercount']}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """See _skip_without_part."""
    with _skip_without_part():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """See _skip_without_part."""
    with _skip_without_part():
        return (yield)


@contextmanager
def _skip_without_part() -> Iterator[None]:
    """A part that cannot be had is a skip for a person and a failure in CI."""
    try:
        yield
    except PartMissingError as missing:
        if in_ci():
            raise
        pytest.skip(str(missing))


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


@pytest.fixture(scope="session")
def quick_prompts() -> Path:
    """Every prompt, spoken so fast that a test hears all of them in seconds."""
    return prompt_directory(Voice("espeak-ng -v cmn -s 450 -w {wav} {text}"))


@pytest.fixture(scope="session")
def owners(server_home: Path) -> Iterator[Owners]:
    """SIPp owners (see `deploy.stack.owners`) that press their key 0.2 s after they answer."""
    server = Owners(server_home / "owners", press_after=0.2, late=8.0)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def asterisk_server(server_home: Path, owners: Owners, quick_prompts: Path) -> Iterator[Asterisk]:
    """A switch of this session whose trunk leads to `owners`; it waits 1 s for a key, 4 s for a seat."""
    server = Asterisk(
        server_home / "asterisk",
        prompts=quick_prompts,
        trunk_uri=owners.uri,
        key_wait=1,
        seat_wait=4,
        seats=tuple((name, secrets.token_hex(16)) for name in SEATS),
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def seats(server_home: Path, asterisk_server: Asterisk) -> Iterator[Seats]:
    """SIPp seats (see `deploy.stack.seats`) of `asterisk_server`: all but the last of `SEATS`."""
    settings = asterisk_server.settings
    server = Seats(server_home / "seats", dataclasses.replace(settings, seats=settings.seats[:-1]))
    server.start()
    yield server
    server.stop()
