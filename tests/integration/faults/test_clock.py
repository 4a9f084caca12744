"""A clock that is wrong is found by asking the database server's."""

from services.common.clock import Clock, ManualClock, SystemClock
from services.escalation.faults.detection.probes import GOOD, DatabaseProbe


async def test_the_database_server_is_a_second_opinion_on_the_time(postgres_url: str) -> None:
    clocks: list[tuple[Clock, str | None]] = [(SystemClock(), None), (ManualClock(), "bad")]
    for clock, health in clocks:
        probe = DatabaseProbe(postgres_url, clock)
        found = await probe()
        await probe.close()
        assert found["database"] == GOOD
        assert (found["clock"].health if "clock" in found else None) == health
