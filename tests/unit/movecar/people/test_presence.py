"""Whether an operator is there to take a case."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.common.clock import ManualClock
from services.common.ids import new_id
from services.common.service import Kernel
from services.movecar.app import build
from services.movecar.people.models import Account, Session
from services.movecar.people.presence import NOBODY, Presence
from tests.support.running import settings_for
from tests.support.tables import create_tables

HOUR = timedelta(hours=1)


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    kernel = Kernel.build(settings_for(tmp_path), ManualClock())
    await create_tables(kernel.database)
    yield kernel
    await kernel.bus.close()
    await kernel.database.close()


async def log_in(
    kernel: Kernel, role: str, began: timedelta, lasts: timedelta, ended: timedelta | None
) -> None:
    """A session that began, lasts and perhaps ended, all counted from now."""
    now, account = kernel.clock.now(), new_id()
    async with kernel.database.transaction() as session:
        session.add(
            Account(id=account, username=account, name="", role=role, password_hash="", created_at=now)
        )
        session.add(
            Session(
                id=new_id(),
                account_id=account,
                started_at=now + began,
                expires_at=now + began + lasts,
                ended_at=None if ended is None else now + ended,
                remote="",
            )
        )


@pytest.mark.parametrize(
    ("sessions", "problem"),
    [
        # nobody ever: not in service yet
        ([], None),
        # somebody is there
        ([("operator", -HOUR, 12 * HOUR, None)], None),
        # logged out; run out, to the second
        ([("operator", -HOUR, 12 * HOUR, -HOUR / 2)], NOBODY),
        ([("operator", -12 * HOUR, 12 * HOUR, None)], NOBODY),
        # one of several is enough
        ([("operator", -HOUR, 12 * HOUR, -HOUR / 2), ("operator", -HOUR, 2 * HOUR, None)], None),
        # others take no cases
        ([("operator", -9 * HOUR, HOUR, None), ("supervisor", -HOUR, 12 * HOUR, None)], NOBODY),
        ([("desk", -HOUR, 12 * HOUR, None)], None),
    ],
)
async def test_an_operator_is_there_while_a_session_lasts(
    kernel: Kernel,
    sessions: list[tuple[str, timedelta, timedelta, timedelta | None]],
    problem: str | None,
) -> None:
    for one in sessions:
        await log_in(kernel, *one)
    assert await Presence(kernel.database, kernel.clock).check() == problem


@pytest.mark.parametrize(
    ("given", "watched"),
    [
        # in a demo nobody works, unless a time is given; elsewhere always, unless it is given as none
        ({"demo": True}, False),
        ({"demo": True, "operators_after": 60}, True),
        ({"demo": False}, True),
        ({"demo": False, "operators_after": 0}, False),
    ],
)
async def test_operators_are_missed_where_they_work(
    tmp_path: Path, given: dict[str, bool | float], watched: bool
) -> None:
    kernel = Kernel.build(settings_for(tmp_path, **given))
    assert ("operators" in build(kernel).warnings) is watched
    await kernel.bus.close()
    await kernel.database.close()
