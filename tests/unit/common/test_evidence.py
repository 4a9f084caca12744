"""How concerns become a status, and that what cannot be had is never well."""

from datetime import UTC, datetime, timedelta

import pytest

from services.common.clock import ManualClock
from services.common.evidence import Concern, Evidence, Status, gathered, judged, seconds, time

NOW = datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("concerns", "status", "findings"),
    [
        ([], "ok", []),
        ([("warning", "w")], "warning", ["w"]),
        # Nothing to show outweighs a warning,
        ([("warning", "w"), ("no_evidence", "n")], "no_evidence", ["n", "w"]),
        # and a proved breach outweighs what cannot be seen.
        ([("no_evidence", "n"), ("warning", "w"), ("breached", "b")], "breached", ["b", "n", "w"]),
    ],
)
def test_the_worst_that_was_found_is_the_status_and_everything_is_said(
    concerns: list[Concern], status: Status, findings: list[str]
) -> None:
    assert judged(concerns) == (status, findings)


async def test_a_source_that_fails_is_no_evidence_and_the_others_are_shown() -> None:
    async def well() -> Evidence:
        return Evidence(status="ok", findings=[], figures=[], taken_at=NOW)

    async def away() -> Evidence:
        raise ConnectionError("the database is away")

    found = await gathered({"C4": well, "C2": away}, ManualClock(NOW))
    assert [found[name].status for name in ("C4", "C2")] == ["ok", "no_evidence"]
    assert found["C2"].findings == ["证据暂时取不到，请稍后再看"]
    assert found["C2"].taken_at == NOW


def test_times_and_durations_are_figures_and_none_stays_none() -> None:
    assert time("at", "", NOW).value == "2026-04-01T08:00:00.000+08:00"
    assert seconds("took", "", timedelta(seconds=1.26)).value == 1.3
    assert seconds("took", "", None).value is None
