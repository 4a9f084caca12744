"""How often to open a transaction: at once under little load, seldom and for many under much."""

import asyncio
from typing import Final

_SECONDS_EACH: Final = 0.01
_LONGEST_SECONDS: Final = 0.1


class Pace:
    """Keeps 10 ms of distance per item of the last transaction, up to 100 ms.

    A transaction costs as much as five items in it. Below a hundred items a second everything is done as it
    comes; above, transactions grow until there are ten a second, which is when the processor is needed most.
    """

    def __init__(self) -> None:
        self.next_at = 0.0
        """When the next transaction may begin, on the event loop's clock."""

    def begin(self, items: int) -> None:
        """Note that a transaction with so many items begins."""
        distance = min(items * _SECONDS_EACH, _LONGEST_SECONDS)
        self.next_at = asyncio.get_running_loop().time() + distance

    async def wait(self) -> None:
        """Wait until the next transaction may begin."""
        await asyncio.sleep(max(0.0, self.next_at - asyncio.get_running_loop().time()))
