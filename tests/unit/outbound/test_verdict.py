"""The guard's decision: a table of cases, and what no order of calls can bring about."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.call_rules import CallLimits, Hours, Window
from services.common.settings import RedialRules, Settings
from services.outbound.guard.verdict import (
    Allowed,
    Candidate,
    Dialled,
    Past,
    Rules,
    Verdict,
    Wait,
    Withheld,
    judge,
)

NOW = datetime(2026, 4, 1, 4, tzinfo=UTC)
"""Noon in Shanghai."""
NIGHT = NOW + timedelta(hours=14)
"""Two o'clock in the morning there."""
HOUR = timedelta(hours=1)
FIRST = Candidate("n1", frozenset({"n1", "n2"}), "v1", "op1", "trunk")


def other(**fields: object) -> Candidate:
    """Return another car's owner, of another operator."""
    values = {
        "callee": "n8",
        "callees": frozenset({"n8", "n9"}),
        "vehicle": "v8",
        "operator": "op8",
        "trunk": "trunk",
    }
    return Candidate(**(values | fields))  # type: ignore[arg-type]


def after(placed: Sequence[tuple[Candidate, datetime]], rules: Rules, declined: Sequence[str] = ()) -> Past:
    """Return the past in which these calls were placed."""
    past = Past(declined=set(declined))
    for number, (candidate, at) in enumerate(placed):
        past.place(candidate, rules, str(number), at)
    return past


def limited(name: str, calls: int = 2) -> Rules:
    return Rules(**{name: (Window(calls, HOUR),)})  # type: ignore[arg-type]


JUST = NOW - timedelta(minutes=59, seconds=59)
SECOND_NUMBER = Candidate("n2", FIRST.callees, "v1", "op1", "trunk")
DAYTIME = Rules(hours=Hours.read("06:00-23:00"))


@pytest.mark.parametrize(
    ("placed", "rules", "declined", "now", "verdict"),
    [
        # Without rules nothing is withheld, however often.
        ([(FIRST, NOW)] * 50, Rules(), "", NOW, Allowed()),
        # The last call that a limit allows, and the first that it does not.
        ([(FIRST, JUST)], limited("number"), "", NOW, Allowed()),
        ([(FIRST, JUST)] * 2, limited("number"), "", NOW, Withheld("number_limit")),
        # A call counts until its window is over, to the moment.
        ([(FIRST, NOW - HOUR)] * 2, limited("number"), "", NOW, Allowed()),
        # Of two windows the fuller one decides.
        (
            [(FIRST, NOW - HOUR)] * 3,
            Rules(number=(Window(9, HOUR), Window(3, 24 * HOUR))),
            "",
            NOW,
            Withheld("number_limit"),
        ),
        # Another number of the same owner does not count for the number ...
        ([(SECOND_NUMBER, NOW)] * 2, limited("number"), "", NOW, Allowed()),
        # ... and does for the owner, whose second car counts by its numbers, and a new number by the car.
        ([(SECOND_NUMBER, NOW)] * 2, limited("owner"), "", NOW, Withheld("owner_limit")),
        ([(other(callee="n2"), NOW)] * 2, limited("owner"), "", NOW, Withheld("owner_limit")),
        ([(other(vehicle="v1"), NOW)] * 2, limited("owner"), "", NOW, Withheld("owner_limit")),
        # A call that is found both ways is one call.
        ([(FIRST, NOW)], limited("owner"), "", NOW, Allowed()),
        # Owners of whom no vehicle is known are not one owner.
        ([(other(vehicle=""), NOW)] * 2, limited("owner"), "", NOW, Allowed()),
        # Somebody else's calls count for the operator or the service only.
        ([(other(), NOW)] * 2, limited("owner"), "", NOW, Allowed()),
        ([(other(), NOW)] * 2, limited("operator"), "", NOW, Allowed()),
        ([(other(operator="op1"), NOW)] * 2, limited("operator"), "", NOW, Withheld("operator_limit")),
        ([(other(), NOW)] * 2, limited("service"), "", NOW, Withheld("service_limit")),
        # A full trunk is waited for, until its first call leaves the window.
        ([(other(), JUST), (other(), NOW)], limited("trunk"), "", NOW, Wait(JUST + HOUR)),
        ([(other(trunk="b"), NOW)] * 2, limited("trunk"), "", NOW, Allowed()),
        # The hours are Shanghai's.
        ([], DAYTIME, "", NOW, Allowed()),
        ([], DAYTIME, "", NIGHT, Withheld("outside_calling_hours")),
        # The wish is the person's: it holds for every number of theirs, at any hour, and is named first.
        ([], Rules(), "n1", NOW, Withheld("owner_declined_machine")),
        ([], Rules(), "n2", NOW, Withheld("owner_declined_machine")),
        ([], DAYTIME, "n2", NIGHT, Withheld("owner_declined_machine")),
        ([], Rules(), "n9", NOW, Allowed()),
    ],
)
def test_the_verdict(
    placed: list[tuple[Candidate, datetime]], rules: Rules, declined: str, now: datetime, verdict: Verdict
) -> None:
    past = after(placed, rules, [declined] if declined else [])
    assert judge(FIRST, past, rules, now) == verdict


KEYS: dict[str, Callable[[Candidate], str]] = {
    "number": lambda candidate: candidate.callee,
    "owner": lambda candidate: candidate.vehicle,
    "operator": lambda candidate: candidate.operator,
    "service": lambda candidate: "",
}


@given(
    st.sampled_from(["number", "owner", "operator", "service"]),
    st.integers(1, 4),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 2), st.integers(0, 50)), max_size=40
    ),
)
def test_no_window_ever_holds_more_calls_than_its_limit(
    name: str, most: int, asked: list[tuple[int, int, int, int]]
) -> None:
    """Owner 0 has numbers 0 and 1, owner 1 has 2 and 3; time goes on by the last figure, in minutes."""
    rules, now = limited(name, most), NOW
    placed: list[tuple[Candidate, datetime]] = []
    for number, _, operator, minutes in asked:
        now += timedelta(minutes=minutes)
        owner = number // 2
        numbers = frozenset({f"n{2 * owner}", f"n{2 * owner + 1}"})
        candidate = Candidate(f"n{number}", numbers, f"v{owner}", f"op{operator}", "trunk")
        past = Past()
        for index, (earlier, at) in enumerate(placed):
            past.add(Dialled(str(index), at, earlier.callee, earlier.vehicle))
        fresh = after([(c, at) for c, at in placed if at > now - HOUR], rules)
        past.tallies = fresh.tallies
        if isinstance(judge(candidate, past, rules, now), Allowed):
            placed.append((candidate, now))
    key = KEYS[name]
    for candidate, end in placed:
        same = [at for c, at in placed if key(c) == key(candidate) and end - HOUR < at <= end]
        assert len(same) <= most


def test_the_defaults_never_stand_in_the_way_of_two_cases_a_day() -> None:
    """Two cases, each called about twice, each number as often as the redial rules can ask for."""
    rules = RedialRules.model_validate(Settings.model_fields["redial"].default.model_dump())
    limits = CallLimits()
    waits = sum(len(each) for each in rules.model_dump().values())
    tries = waits + 1
    assert limits.number["1h"] >= 2 * tries
    assert limits.number["24h"] >= 4 * tries
    assert limits.owner["24h"] >= 3 * 4 * tries  # three numbers, all of them in vain


@pytest.mark.parametrize(
    ("hours", "local_time", "inside"),
    [
        ("06:00-23:00", (5, 59, 59), False),
        ("06:00-23:00", (6, 0, 0), True),
        ("06:00-23:00", (22, 59, 59), True),
        ("06:00-23:00", (23, 0, 0), False),
        # Across midnight.
        ("22:00-06:00", (21, 59, 59), False),
        ("22:00-06:00", (23, 59, 59), True),
        ("22:00-06:00", (0, 0, 0), True),
        ("22:00-06:00", (6, 0, 0), False),
        # To the end of the day.
        ("06:00-00:00", (23, 59, 59), True),
        ("06:00-00:00", (0, 0, 0), False),
    ],
)
@pytest.mark.parametrize("day", [datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)])
def test_hours_are_shanghais_winter_and_summer(
    hours: str, local_time: tuple[int, int, int], inside: bool, day: datetime
) -> None:
    """There has been no summer time since 1991: UTC+8 all the year."""
    moment = day + timedelta(hours=local_time[0] - 8, minutes=local_time[1], seconds=local_time[2])
    read = Hours.read(hours)
    assert read is not None
    assert read.include(moment) is inside


@pytest.mark.parametrize(
    "text", ["6-23", "06:00", "06:00-24:00", "06:00-06:00", "06:60-07:00", "٠٦:00-07:00", " "]
)
def test_hours_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Hours.read(text)
