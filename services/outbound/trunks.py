"""Whether a trunk carries calls: what is seen of it moves it between four states, in one table. Pure.

A trunk is judged on each Asterisk node by itself: the way to it may be broken on one of them alone.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final


class TrunkState(StrEnum):
    """What a trunk is used for."""

    IN_SERVICE = "in_service"
    """Calls go over it."""
    SUSPECT = "suspect"
    """A call failed by it. One call at a time tries it; others only when nothing better is left."""
    OUT = "out"
    """No call goes over it."""
    PROBING = "probing"
    """It may be well again: one call at a time tries it."""


class Signal(StrEnum):
    """What can be seen of a trunk."""

    CARRIED = "carried"
    """A call rang, or ended by the owner's or the number's doing."""
    FAILED = "failed"
    """A call failed by the trunk."""
    GIVEN_UP = "given_up"
    """Calls to too many owners in a row failed by it."""
    LOST = "lost"
    """Asterisk says that it does not answer OPTIONS, or that it takes no registration."""
    FOUND = "found"
    """Asterisk says that it answers and is registered, which it was not."""
    RESTED = "rested"
    """It has been out for long enough to be tried."""


_IN, _SUSPECT, _OUT, _PROBING = TrunkState
TRANSITIONS: Final[dict[tuple[TrunkState, Signal], TrunkState]] = {
    (_IN, Signal.CARRIED): _IN,
    (_IN, Signal.FAILED): _SUSPECT,
    (_IN, Signal.LOST): _OUT,
    (_IN, Signal.FOUND): _IN,
    (_SUSPECT, Signal.CARRIED): _IN,
    (_SUSPECT, Signal.FAILED): _SUSPECT,
    (_SUSPECT, Signal.GIVEN_UP): _OUT,
    (_SUSPECT, Signal.LOST): _OUT,
    (_SUSPECT, Signal.FOUND): _SUSPECT,
    # Calls placed before it was taken out still end; only a call placed to try it brings it back.
    (_OUT, Signal.CARRIED): _OUT,
    (_OUT, Signal.FAILED): _OUT,
    (_OUT, Signal.LOST): _OUT,
    (_OUT, Signal.FOUND): _PROBING,
    (_OUT, Signal.RESTED): _PROBING,
    (_PROBING, Signal.CARRIED): _IN,
    (_PROBING, Signal.FAILED): _OUT,
    (_PROBING, Signal.LOST): _OUT,
    (_PROBING, Signal.FOUND): _PROBING,
}
"""(state, signal) → state. What is not here cannot happen."""

OWNERS_IN_A_ROW: Final = 3
"""So many owners' calls in a row have to fail before a trunk is taken out: one owner's number alone may be
what the network beyond the trunk cannot reach."""
_FIRST_REST: Final = timedelta(seconds=10)
_LONGEST_REST: Final = timedelta(minutes=5)
MISSED: Final = frozenset({"unreachable", "unregistered"})
"""Why Asterisk itself misses a trunk."""
NO_CHANNEL: Final = "no_channel"
"""Asterisk made no channel for a call: the trunk is known not to answer, or is not configured there."""


@dataclass(slots=True)
class Trunk:
    """One trunk on one node. The methods return whether the state is another one than before."""

    since: datetime
    """Of the present state."""
    state: TrunkState = TrunkState.IN_SERVICE
    reason: str = ""
    """Code of the last failure: `sip_503`, `unreachable` …"""
    failed_at: datetime | None = None
    rests_until: datetime | None = None
    """When it is tried again unasked; None while Asterisk says that it does not answer."""
    _failed_owners: set[str] = field(default_factory=set)
    _missing: set[str] = field(default_factory=set)
    _times_out: int = 0
    _back: bool = False
    """Asterisk found it again, having missed it; nothing was heard against it since."""

    @property
    def works(self) -> bool:
        """Whether it carries calls as far as is known.

        One that is tried again only because it has rested is not known to be well until a call gets through;
        one that failed by answering no OPTIONS and answers them again is.
        """
        return self.state is not TrunkState.OUT and (self.state is not TrunkState.PROBING or self._back)

    def carried(self, now: datetime) -> bool:
        """Take in that a call got through."""
        if self.state is not TrunkState.OUT:
            self._failed_owners.clear()
            self._times_out = 0
        return self._apply(Signal.CARRIED, now)

    def failed(self, owner: str, reason: str, now: datetime) -> bool:
        """Take in that a call to `owner` failed by the trunk."""
        self.reason, self.failed_at, self._back = reason, now, False
        self._failed_owners.add(owner)
        was = self.state
        self._apply(Signal.FAILED, now)
        if self.state is TrunkState.SUSPECT and (
            reason == NO_CHANNEL or len(self._failed_owners) >= OWNERS_IN_A_ROW
        ):
            self._apply(Signal.GIVEN_UP, now)
        return self.state is not was

    def lost(self, reason: str, now: datetime) -> bool:
        """Take in that Asterisk misses it: `unreachable` or `unregistered`."""
        self.reason, self.failed_at, self._back = reason, now, False
        self._missing.add(reason)
        changed = self._apply(Signal.LOST, now)
        self.rests_until = None
        return changed

    def found(self, reason: str, now: datetime) -> bool:
        """Take in that Asterisk misses it no more for this reason."""
        self._missing.discard(reason)
        if self._missing:
            return False
        self._back = self.reason in MISSED
        return self._apply(Signal.FOUND, now)

    def unwatched(self, now: datetime) -> None:
        """Take in that nothing was heard of Asterisk for a while: what it missed may have come back."""
        self._missing.clear()
        if self.state is TrunkState.OUT:
            self.rests_until = now

    def refresh(self, now: datetime) -> bool:
        """Take in that time has passed."""
        if self.state is TrunkState.OUT and self.rests_until is not None and now >= self.rests_until:
            return self._apply(Signal.RESTED, now)
        return False

    def _apply(self, signal: Signal, now: datetime) -> bool:
        was, self.state = self.state, TRANSITIONS[self.state, signal]
        if was is self.state:
            return False
        self.since = now
        if self.state is TrunkState.OUT:
            rest = min(_FIRST_REST * 2**self._times_out, _LONGEST_REST)
            self.rests_until = now + rest
            self._times_out = min(self._times_out + 1, 10)
        return True
