"""When an item the desk's system did not take is tried again; decisions only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tenacity import AsyncRetrying, RetryCallState, stop_never, wait_exponential_jitter

PUSH_POLICY = AsyncRetrying(
    stop=stop_never, wait=wait_exponential_jitter(multiplier=0.5, max=30.0, jitter=0.5), reraise=True
)
"""How long an untaken item waits before its next try: 0.5 s doubling to 30 s, for ever. The waits are kept in
the item's row, not in a task, so that they survive a restart."""

_DEAD_AFTER = 8
_PROBE_SECONDS = 5.0


def pause_after(tries: int) -> timedelta:
    """Return how long an item waits after its try of this number (1 is the first)."""
    state = RetryCallState(PUSH_POLICY, None, (), {})
    state.attempt_number = tries
    return timedelta(seconds=PUSH_POLICY.wait(state))


@dataclass
class Target:
    """What is known of the desk's system: after eight failures in a row it is taken to be away.

    Then one waiting item every five seconds finds out whether it is back, instead of all of them; a new item
    is still tried once at once, because the failures may have been one refused item's and not the system's.
    """

    failures: int = 0
    probed_at: float = float("-inf")

    @property
    def dead(self) -> bool:
        return self.failures >= _DEAD_AFTER

    def admit(self, tries: Sequence[int], now: float) -> list[int]:
        """Return the indexes of the due items, given by their tries so far, that may be sent now."""
        if not self.dead:
            return list(range(len(tries)))
        admitted = [index for index, count in enumerate(tries) if count == 0]
        again = next((index for index, count in enumerate(tries) if count), None)
        if again is not None and now - self.probed_at >= _PROBE_SECONDS:
            self.probed_at = now
            admitted.append(again)
        return admitted

    def failed(self) -> bool:
        """Note a failure; return whether the system is from now on taken to be away."""
        self.failures += 1
        return self.failures == _DEAD_AFTER

    def succeeded(self) -> bool:
        """Note a success; return whether the system had been taken to be away."""
        was_dead, self.failures = self.dead, 0
        return was_dead
