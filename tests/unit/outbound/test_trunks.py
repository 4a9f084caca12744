from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.trunks import OWNERS_IN_A_ROW, TRANSITIONS, Signal, Trunk, TrunkState

NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
IN, SUSPECT, OUT, PROBING = TrunkState


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def out() -> Trunk:
    trunk = Trunk(NOW)
    for owner in range(OWNERS_IN_A_ROW):
        trunk.failed(str(owner), "sip_503", NOW)
    assert trunk.state is OUT
    return trunk


def test_one_failure_makes_a_trunk_suspect_and_one_call_that_gets_through_clears_it() -> None:
    trunk = Trunk(NOW)
    assert trunk.failed("1", "sip_503", after(1))
    assert (trunk.state, trunk.since, trunk.reason) == (SUSPECT, after(1), "sip_503")
    assert trunk.carried(after(2))
    assert (trunk.state, trunk.since) == (IN, after(2))


def test_calls_to_several_owners_in_a_row_take_it_out() -> None:
    trunk = Trunk(NOW)
    states = []
    for owner in "123":
        trunk.failed(owner, "sip_503", NOW)
        states.append(trunk.state)
    assert states == [SUSPECT, SUSPECT, OUT]


def test_one_owner_who_cannot_be_reached_does_not_take_it_out() -> None:
    trunk = Trunk(NOW)
    for _ in range(20):
        trunk.failed("1", "sip_503", NOW)
    assert trunk.state is SUSPECT


def test_a_call_that_gets_through_ends_the_row() -> None:
    trunk = Trunk(NOW)
    for owner in "12121212":
        trunk.failed(owner, "sip_500", NOW)
    trunk.carried(NOW)
    trunk.failed("3", "sip_500", NOW)
    assert trunk.state is SUSPECT


def test_a_call_for_which_asterisk_makes_no_channel_takes_it_out_by_itself() -> None:
    trunk = Trunk(NOW)
    trunk.failed("1", "no_channel", NOW)
    assert trunk.state is OUT


Seen = tuple[str, str]


@pytest.mark.parametrize(
    ("seen", "works"),
    [
        ([], True),
        # one failure says little
        ([("failed", "sip_503")], True),
        ([("failed", "no_channel")], False),
        # it is tried again because time has passed: nothing is known yet
        ([("failed", "no_channel"), ("rested", "")], False),
        ([("failed", "no_channel"), ("rested", ""), ("carried", "")], True),
        ([("failed", "no_channel"), ("rested", ""), ("failed", "sip_503")], False),
        ([("lost", "unreachable")], False),
        # Asterisk, which missed it, has found it again: that is known
        ([("lost", "unreachable"), ("found", "unreachable")], True),
        ([("lost", "unreachable"), ("lost", "unregistered"), ("found", "unreachable")], False),
        ([("lost", "unreachable"), ("found", "unreachable"), ("failed", "sip_503")], False),
        # it answers OPTIONS as it did while calls failed: that proves nothing
        ([("failed", "no_channel"), ("found", "unreachable")], False),
    ],
)
def test_whether_it_carries_calls_as_far_as_is_known(seen: list[Seen], works: bool) -> None:
    trunk = Trunk(NOW)
    for what, reason in seen:
        match what:
            case "failed":
                trunk.failed("1", reason, NOW)
            case "carried":
                trunk.carried(NOW)
            case "lost":
                trunk.lost(reason, NOW)
            case "found":
                trunk.found(reason, NOW)
            case _:
                assert trunk.rests_until is not None
                trunk.refresh(trunk.rests_until)
    assert trunk.works is works


def test_it_is_tried_after_a_rest_that_doubles_with_each_trial_that_fails() -> None:
    trunk, now, rests = out(), NOW, []
    for _ in range(8):
        assert trunk.rests_until is not None
        rests.append((trunk.rests_until - now).total_seconds())
        assert not trunk.refresh(trunk.rests_until - timedelta(milliseconds=1))
        now = trunk.rests_until
        assert trunk.refresh(now)
        assert trunk.state is PROBING
        trunk.failed("9", "sip_503", now)
        assert trunk.state is OUT
    assert rests == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_trial_that_gets_through_brings_it_back_with_short_rests() -> None:
    trunk = out()
    trunk.refresh(after(10))
    assert trunk.carried(after(11))
    assert trunk.state is IN
    for owner in "123":
        trunk.failed(owner, "sip_503", after(20))
    assert trunk.rests_until == after(30)


def test_what_was_placed_before_it_was_taken_out_does_not_bring_it_back() -> None:
    trunk = out()
    assert not trunk.carried(after(1))
    assert trunk.state is OUT


def test_while_asterisk_says_that_it_does_not_answer_it_is_not_tried() -> None:
    trunk = Trunk(NOW)
    assert trunk.lost("unreachable", NOW)
    assert not trunk.refresh(after(86_400))
    assert trunk.found("unreachable", after(86_401))
    assert trunk.state is PROBING


def test_it_is_found_only_when_nothing_is_missing_any_more() -> None:
    trunk = Trunk(NOW)
    trunk.lost("unreachable", NOW)
    trunk.lost("unregistered", NOW)
    assert not trunk.found("unreachable", NOW)
    assert trunk.state is OUT
    assert trunk.found("unregistered", NOW)
    assert trunk.state is PROBING


def test_after_a_time_without_asterisk_it_is_tried_because_its_return_may_have_been_missed() -> None:
    trunk = Trunk(NOW)
    trunk.lost("unreachable", NOW)
    trunk.unwatched(after(5))
    assert trunk.refresh(after(5))
    assert trunk.state is PROBING


def test_every_state_can_be_left_for_service_and_only_by_a_call_that_got_through() -> None:
    into = {signal for (state, signal), target in TRANSITIONS.items() if target is IN and state is not IN}
    assert into == {Signal.CARRIED}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["carried", "failed", "lost", "found", "unwatched", "refresh"]),
            st.sampled_from("123"),
            st.floats(0, 400),
        )
    )
)
def test_nothing_that_is_seen_is_illegal_and_a_trunk_that_is_out_can_always_come_back(
    course: list[tuple[str, str, float]],
) -> None:
    trunk, now = Trunk(NOW), NOW
    for what, owner, seconds in course:
        now += timedelta(seconds=seconds)
        match what:
            case "carried":
                trunk.carried(now)
            case "failed":
                trunk.failed(owner, "sip_503", now)
            case "lost":
                trunk.lost("unreachable", now)
            case "found":
                trunk.found("unreachable", now)
            case "unwatched":
                trunk.unwatched(now)
            case _:
                trunk.refresh(now)
    if trunk.state is OUT:
        trunk.found("unreachable", now)
        trunk.refresh(now + timedelta(minutes=5))
        assert trunk.state is PROBING
        trunk.carried(now)
        assert trunk.state is IN


@pytest.mark.parametrize("state", TrunkState)
@pytest.mark.parametrize("signal", [Signal.CARRIED, Signal.FAILED, Signal.LOST])
def test_what_a_call_or_asterisk_may_say_at_any_time_is_known_in_every_state(
    state: TrunkState, signal: Signal
) -> None:
    assert (state, signal) in TRANSITIONS
