"""Events between services: written with the change they report, published after it, handled at least once."""

from services.common.bus.consumer import Consumer, Handler, Together
from services.common.bus.contract import Bus, Entry
from services.common.bus.local import LocalBus
from services.common.bus.outbox import emit, entry_of
from services.common.bus.redis import RedisBus
from services.common.bus.relay import Relay
from services.common.bus.upkeep import Upkeep

__all__ = [
    "Bus",
    "Consumer",
    "Entry",
    "Handler",
    "LocalBus",
    "RedisBus",
    "Relay",
    "Together",
    "Upkeep",
    "emit",
    "entry_of",
]
