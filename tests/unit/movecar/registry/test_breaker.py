"""The circuit breaker: its table, and what it lets through as time goes by."""

from services.common.clock import ManualClock
from services.movecar.registry.breaker import TRANSITIONS, Breaker, BreakerState, Permit, Trigger

LIMIT, COOLING = 3, 30.0


def breaker_of(clock: ManualClock) -> Breaker:
    return Breaker(clock, limit=LIMIT, cooling=COOLING)


def permit_of(breaker: Breaker) -> Permit:
    permit = breaker.acquire()
    assert permit is not None
    return permit


def opened(clock: ManualClock) -> Breaker:
    breaker = breaker_of(clock)
    for _ in range(LIMIT):
        breaker.failed(permit_of(breaker))
    return breaker


def test_every_state_can_be_left_and_every_trigger_is_used() -> None:
    assert {state for state, _ in TRANSITIONS} == set(BreakerState)
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)
    for state in BreakerState:
        assert any(source is state and target is not state for (source, _), target in TRANSITIONS.items())


def test_it_opens_after_the_limit_of_failures_in_a_row(clock: ManualClock) -> None:
    breaker = breaker_of(clock)
    for _ in range(LIMIT - 1):
        breaker.failed(permit_of(breaker))
    last = permit_of(breaker)
    breaker.failed(last)
    assert breaker.state is BreakerState.OPEN
    assert breaker.acquire() is None


def test_a_success_starts_the_count_again(clock: ManualClock) -> None:
    breaker = breaker_of(clock)
    for _ in range(10):
        for _ in range(LIMIT - 1):
            breaker.failed(permit_of(breaker))
        breaker.succeeded(permit_of(breaker))
    assert breaker.state is BreakerState.CLOSED


async def test_after_cooling_one_probe_goes_through_and_its_success_closes(clock: ManualClock) -> None:
    breaker = opened(clock)
    await clock.advance(COOLING - 0.1)
    assert breaker.acquire() is None
    await clock.advance(0.1)
    probe = permit_of(breaker)
    assert breaker.acquire() is None
    breaker.succeeded(probe)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.acquire() is not None


async def test_a_failed_probe_starts_the_cooling_again(clock: ManualClock) -> None:
    breaker = opened(clock)
    await clock.advance(COOLING)
    breaker.failed(permit_of(breaker))
    assert breaker.state is BreakerState.OPEN
    await clock.advance(COOLING - 0.1)
    assert breaker.acquire() is None
    await clock.advance(0.1)
    assert breaker.acquire() is not None


async def test_a_cancelled_probe_makes_room_for_the_next(clock: ManualClock) -> None:
    breaker = opened(clock)
    await clock.advance(COOLING)
    breaker.released(permit_of(breaker))
    assert breaker.acquire() is not None


async def test_news_from_before_the_breaker_opened_is_ignored(clock: ManualClock) -> None:
    breaker = breaker_of(clock)
    late = [permit_of(breaker) for _ in range(3)]
    for _ in range(LIMIT):
        breaker.failed(permit_of(breaker))
    breaker.succeeded(late[0])
    assert breaker.acquire() is None
    await clock.advance(COOLING)
    probe = permit_of(breaker)
    # Neither frees the probe's place nor decides in its stead.
    breaker.failed(late[1])
    breaker.released(late[2])
    assert breaker.acquire() is None
    breaker.succeeded(probe)
    assert breaker.state is BreakerState.CLOSED
