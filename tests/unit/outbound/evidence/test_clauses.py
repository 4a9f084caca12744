"""B4 and B8: how the clauses stand, decided from figures alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.common.evidence import Status, judged
from services.escalation.faults.parts import INCIDENTS
from services.outbound.evidence.clauses import (
    DOUBTFUL,
    FLAWED,
    OLDEST_READ,
    UNCALLED,
    UNREADABLE,
    UNRECORDED,
    Found,
    judge_calls,
    judge_recordings,
)

NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
WELL = Found(records=9, agreed=9, answered=4, recorded=4, read_at=NOW)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (WELL, "ok"),
        (Found(read_at=NOW), "no_evidence"),
        # The switch wrote them down, and nothing has been compared yet.
        (Found(records=9, read_at=NOW), "no_evidence"),
        (replace(WELL, open_={"call_without_attempt": 1, "unknown_call": 2}), "breached"),
        (replace(WELL, open_={"unknown_call": 2}), "warning"),
        # What concerns the recordings is not this clause's.
        (replace(WELL, open_={"recording_missing": 1, "trunk_out": 1}), "ok"),
        # Without the switch's records nothing is compared.
        (replace(WELL, open_={"call_records_unavailable": 1}), "no_evidence"),
        (replace(WELL, read_at=None), "no_evidence"),
        (replace(WELL, read_at=NOW - OLDEST_READ), "ok"),
        (replace(WELL, read_at=NOW - OLDEST_READ - timedelta(seconds=1)), "no_evidence"),
        # A call without a case is proved, whatever else cannot be seen.
        (replace(WELL, read_at=None, open_={"attempt_without_case": 1}), "breached"),
    ],
)
def test_calls_without_a_case_break_the_clause_until_they_are_explained(found: Found, status: Status) -> None:
    assert judged(judge_calls(found, NOW))[0] == status


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (WELL, "ok"),
        (replace(WELL, recorded=0), "no_evidence"),
        (replace(WELL, open_={"recording_missing": 1}), "breached"),
        (replace(WELL, open_={"recording_damaged": 1}), "warning"),
        (replace(WELL, open_={"call_without_attempt": 1}), "ok"),
    ],
)
def test_a_call_without_its_recording_breaks_the_clause(found: Found, status: Status) -> None:
    assert judged(judge_recordings(found))[0] == status


def test_every_kind_of_incident_that_is_judged_exists_and_belongs_to_one_clause() -> None:
    kinds = [*UNCALLED, *DOUBTFUL, *UNREADABLE, *UNRECORDED, *FLAWED]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) <= set(INCIDENTS)
