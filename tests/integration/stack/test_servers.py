"""The servers that tests and `make stack` run on behave as their users rely on."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis as Client
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from deploy.stack.child import PartFailedError
from deploy.stack.postgres import Postgres
from deploy.stack.redis import Redis


async def _run(url: str, *statements: str) -> object:
    """Commit the statements; the first value of the last one's result, None when it has no rows."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        for statement in statements:
            result = await connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


async def test_each_test_gets_an_empty_database_that_takes_writes(postgres_url: str) -> None:
    assert await _run(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await _run(postgres_url, "CREATE TABLE t (n integer)")


async def test_postgres_refuses_a_wrong_password(postgres_url: str) -> None:
    wrong = postgres_url.replace(urlsplit(postgres_url).password or "", "wrong")
    with pytest.raises(Exception, match="password authentication failed"):
        await _run(wrong, "SELECT 1")


async def test_a_killed_postgres_keeps_what_was_committed(tmp_path: Path) -> None:
    # tmp_path is root-only on a root machine: this also proves that the server account is shown its files
    server = Postgres(tmp_path / "pg", durable=False)
    server.start()
    try:
        server.ensure_database()
        await _run(server.url(), "CREATE TABLE t AS SELECT 7 AS n")
        server.kill()
        server.start()
        server.ensure_database()
        assert await _run(server.url(), "SELECT n FROM t") == 7
    finally:
        server.stop()


def test_no_server_runs_as_root(postgres_server: Postgres, redis_server: Redis) -> None:
    for child in (postgres_server.child, redis_server.child):
        assert Path(f"/proc/{child.pid}").stat().st_uid != 0


async def test_redis_forgets_everything_when_it_is_killed(tmp_path: Path) -> None:
    server = Redis(tmp_path / "redis")
    server.start()
    try:
        async with Client.from_url(server.url()) as client:
            await client.set("key", "value")
        server.kill()
        server.start()
        async with Client.from_url(server.url()) as client:
            assert await client.get("key") is None
    finally:
        server.stop()


async def test_a_frozen_redis_answers_again_when_it_resumes(redis_server: Redis, redis_url: str) -> None:
    async with Client.from_url(redis_url, socket_timeout=0.2, retry=None) as client:
        redis_server.child.pause()
        with pytest.raises(RedisTimeoutError):
            await client.ping()
        redis_server.child.resume()
    async with Client.from_url(redis_url) as client:
        assert await client.ping()


def test_a_server_that_cannot_start_says_why(tmp_path: Path, redis_server: Redis) -> None:
    second = Redis(tmp_path / "second", port=redis_server.port)
    with pytest.raises(PartFailedError, match="Address already in use"):
        second.start()


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from deploy.stack.redis import Redis\n"
        "server = Redis(pathlib.Path(sys.argv[1])); server.start(); print(server.child.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "redis")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        watch = os.pidfd_open(int(starter.stdout.readline()))
        starter.kill()
        ended, _, _ = select.select([watch], [], [], 10.0)
        os.close(watch)
    assert ended, "the server outlived its starter"
    assert starter.returncode == -signal.SIGKILL
