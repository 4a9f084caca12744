"""The contract on the three pairs that need a server."""

import pytest

from tests.contract.bus import BusContract, SlowWriterContract
from tests.support.events import World


class TestLocalBusOnPostgresql(BusContract, SlowWriterContract):
    @pytest.fixture
    def world(self, local_postgresql: World) -> World:
        return local_postgresql


class TestRedisBusOnSqlite(BusContract):
    @pytest.fixture
    def world(self, redis_sqlite: World) -> World:
        return redis_sqlite


class TestRedisBusOnPostgresql(BusContract, SlowWriterContract):
    @pytest.fixture
    def world(self, redis_postgresql: World) -> World:
        return redis_postgresql
