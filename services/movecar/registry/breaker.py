"""A circuit breaker: a registry that is down is left alone, and asked again by one lookup at a time."""

from dataclasses import dataclass
from enum import StrEnum

from services.common.clock import Clock


class BreakerState(StrEnum):
    """What the breaker lets through: everything, nothing, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Trigger(StrEnum):
    """What moves the breaker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TRIPPED = "tripped"
    """One failure too many in a row."""
    COOLED = "cooled"


TRANSITIONS = {
    (BreakerState.CLOSED, Trigger.SUCCEEDED): BreakerState.CLOSED,
    # Counted, but not yet too many.
    (BreakerState.CLOSED, Trigger.FAILED): BreakerState.CLOSED,
    (BreakerState.CLOSED, Trigger.TRIPPED): BreakerState.OPEN,
    (BreakerState.OPEN, Trigger.COOLED): BreakerState.HALF_OPEN,
    (BreakerState.HALF_OPEN, Trigger.SUCCEEDED): BreakerState.CLOSED,
    # The probe failed: wait all over again.
    (BreakerState.HALF_OPEN, Trigger.FAILED): BreakerState.OPEN,
}


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call, to be given back with its result."""

    epoch: int


class Breaker:
    """Opens after `limit` failures in a row, and lets one probe through every `cooling` seconds."""

    def __init__(self, clock: Clock, *, limit: int, cooling: float) -> None:
        self._clock = clock
        self._limit = limit
        self._cooling = cooling
        self._failures = 0
        self._opened_at = 0.0
        self._epoch = 0
        self._probing = False
        self.state = BreakerState.CLOSED

    def acquire(self) -> Permit | None:
        """Give leave for one call, or None when the call must not be made now."""
        if self.state is BreakerState.OPEN and self._clock.monotonic() - self._opened_at >= self._cooling:
            self._move(Trigger.COOLED)
        if self.state is BreakerState.OPEN or (self.state is BreakerState.HALF_OPEN and self._probing):
            return None
        self._probing = self.state is BreakerState.HALF_OPEN
        return Permit(self._epoch)

    def succeeded(self, permit: Permit) -> None:
        """Report that the call of this permit was answered."""
        if permit.epoch == self._epoch:
            self._failures = 0
            self._move(Trigger.SUCCEEDED)

    def failed(self, permit: Permit) -> None:
        """Report that the call of this permit failed."""
        if permit.epoch != self._epoch:
            return
        self._failures += 1
        tripped = self.state is BreakerState.CLOSED and self._failures >= self._limit
        self._move(Trigger.TRIPPED if tripped else Trigger.FAILED)

    def released(self, permit: Permit) -> None:
        """Give the permit back without a result: the call was cancelled."""
        if permit.epoch == self._epoch:
            self._probing = False

    def _move(self, trigger: Trigger) -> None:
        state = TRANSITIONS[self.state, trigger]
        if state is self.state:
            return
        # Calls begun in an earlier state bring stale news: their permits are of an earlier epoch.
        self._epoch += 1
        self._probing = False
        self._failures = 0
        self.state = state
        if state is BreakerState.OPEN:
            self._opened_at = self._clock.monotonic()
