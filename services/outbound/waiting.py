"""Waiting for whichever comes first: a signal, or a moment of the injected clock."""

import asyncio

from services.common.clock import Clock


async def signalled(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait until `event` is set or `seconds` have passed; clear it and tell whether it was set."""
    if not event.is_set():
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
    was_set = event.is_set()
    event.clear()
    return was_set
