"""When a part is down and when it is back, by table."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.faults.detection.judge import (
    CALM,
    LONGEST_CALM,
    Finding,
    Health,
    Reading,
    calm,
    judge,
)
from services.escalation.faults.records import Component

NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
AFTER = timedelta(seconds=15)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("health", "good_at", "watching", "down", "good_since", "bad_at", "finding"),
    [
        # good, as always
        ("good", 3, 3600, False, None, None, "good"),
        # bad for less than is allowed
        ("bad", 14, 3600, False, None, None, "bad_for_a_moment"),
        # bad for as long as is allowed
        ("bad", 15, 3600, False, None, None, "fault_opened"),
        # bad for long, but this watcher has only just started: others may be starting too
        ("bad", 3600, 14, False, None, None, "bad_for_a_moment"),
        ("bad", 3600, 15, False, None, None, "fault_opened"),
        # nobody could look: that says nothing, however long
        ("unknown", 3600, 3600, False, None, None, "unknown"),
        ("unknown", 3600, 3600, True, None, 3, "unknown"),
        # down and still bad
        ("bad", 60, 3600, True, None, 3, "fault_lasts"),
        # good again, at first and then long enough
        ("good", 60, 3600, True, None, 3, "good_for_a_moment"),
        ("good", 60, 3600, True, 4, 7, "good_for_a_moment"),
        ("good", 60, 3600, True, 5, 8, "recovered"),
        # it broke again: what it was good for does not count any more
        ("bad", 60, 3600, True, 4, 7, "fault_lasts"),
    ],
)
def test_a_reading_has_one_named_consequence(
    health: Health,
    good_at: float,
    watching: float,
    down: bool,
    good_since: float | None,
    bad_at: float | None,
    finding: Finding,
) -> None:
    component = Component(
        "movecar",
        good_at=ago(good_at),
        good_since=None if good_since is None else ago(good_since),
        bad_at=None if bad_at is None else ago(bad_at),
    )
    judged = judge(
        component, Reading(health), NOW, down=down, watching_since=ago(watching), fault_after=AFTER
    )
    assert judged.finding == finding


def test_a_fault_begins_at_the_last_moment_known_good_and_not_when_it_is_found() -> None:
    component = Component("movecar", good_at=ago(100))
    judged = judge(component, Reading("bad"), NOW, down=False, watching_since=ago(1000), fault_after=AFTER)
    assert (judged.finding, judged.component.good_at) == ("fault_opened", ago(100))


def test_recovery_counts_from_the_first_good_moment() -> None:
    component = Component("movecar", good_at=ago(100), good_since=ago(6), bad_at=ago(8))
    judged = judge(component, Reading("good"), NOW, down=True, watching_since=ago(1000), fault_after=AFTER)
    assert judged.component.recovered_at == ago(6)


@pytest.mark.parametrize(
    ("flaps", "seconds"),
    [(0, 5), (1, 10), (3, 40), (6, 320), (7, 600), (1000, 600)],
)
def test_each_flap_doubles_the_wait_up_to_ten_minutes(flaps: int, seconds: float) -> None:
    assert calm(flaps).total_seconds() == seconds


@pytest.mark.parametrize(
    ("recovered", "good_at", "flaps"),
    [
        # broken again half an hour after it recovered: no flap
        (1830, 30, 0),
        # a moment before: one
        (1829, 30, 3),
        # never recovered before: none
        (None, 30, 0),
    ],
)
def test_broken_again_soon_is_a_flap(recovered: float | None, good_at: float, flaps: int) -> None:
    component = Component(
        "movecar",
        good_at=ago(good_at),
        flaps=2,
        recovered_at=None if recovered is None else ago(recovered),
    )
    judged = judge(component, Reading("bad"), NOW, down=False, watching_since=ago(9999), fault_after=AFTER)
    assert judged.component.flaps == flaps


def test_a_part_nobody_saw_bad_for_ten_minutes_need_not_wait_longer() -> None:
    component = Component("movecar", good_at=ago(4000), good_since=ago(5), bad_at=ago(600), flaps=9)
    judged = judge(component, Reading("good"), NOW, down=True, watching_since=ago(9), fault_after=AFTER)
    assert judged.finding == "recovered"


@given(
    flips=st.lists(st.tuples(st.floats(0.5, 1500), st.sampled_from(["good", "bad"])), max_size=60),
    final=st.sampled_from(["good", "bad"]),
)
def test_whatever_it_did_before_what_has_lasted_ten_minutes_is_known(
    flips: list[tuple[float, Health]], final: Health
) -> None:
    now = NOW
    component = Component("movecar", good_at=now)
    down = False

    def look(health: Health) -> None:
        nonlocal component, down
        judged = judge(component, Reading(health), now, down=down, watching_since=NOW, fault_after=AFTER)
        component = judged.component
        down = {"fault_opened": True, "recovered": False}.get(judged.finding, down)

    for seconds, health in flips:
        now += timedelta(seconds=seconds)
        look(health)
    # From now on it stays as it is, and is looked at every two seconds.
    for _ in range(int((LONGEST_CALM + AFTER + CALM).total_seconds() / 2)):
        now += timedelta(seconds=2)
        look(final)
    assert down == (final == "bad")
