"""How often to open a transaction: at once under little load, seldom and for many under much."""

import asyncio


class Pace:
    """Keeps a distance between transactions: `each` seconds per item of the last one, up to `longest`.

    A transaction costs as much as five items in it. While little happens everything is done as it comes;
    under load transactions grow until there are `1 / longest` a second, as then the processor is needed most.
    """

    def __init__(self, each: float, longest: float) -> None:
        self._each = each
        self._longest = longest
        self.next_at = 0.0
        """When the next transaction may begin, on the event loop's clock."""

    def begin(self, items: int) -> None:
        """Note that a transaction with so many items begins."""
        self.next_at = asyncio.get_running_loop().time() + min(items * self._each, self._longest)

    async def wait(self) -> None:
        """Wait until the next transaction may begin."""
        seconds = self.next_at - asyncio.get_running_loop().time()
        if seconds > 0:
            await asyncio.sleep(seconds)


class Leisure:
    """How long what nobody waits for may wait for more: a tenth of a second after the last round (ADR 11)."""

    _SECONDS = 0.1

    def __init__(self) -> None:
        self.over_at = 0.0
        """On the event loop's clock."""

    def begin(self) -> None:
        """Note that a round begins."""
        self.over_at = asyncio.get_running_loop().time() + self._SECONDS

    @property
    def remaining(self) -> float:
        """Seconds, none or fewer when it is over."""
        return self.over_at - asyncio.get_running_loop().time()
