"""The yardstick: asterisk-ami used directly, placing the same calls and doing nothing else about them.

A process of its own. Reads a `Job` as JSON from standard input, writes what it saw to standard output. It
keeps `window` calls up by originating the next one whenever a channel has hung up. No database, no events to
others, no check of what is sent or received, no recovery: what it leaves out is what the product is for.
"""

import sys
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from asterisk.ami import Action, AMIClient

from services.common.speech import speak
from tests.bench.vehicles import phone, plate

_PATIENCE = 15.0


@dataclass(frozen=True)
class Job:
    """Whom to call, how many at a time, for how long."""

    host: str
    port: int
    user: str
    secret: str
    caller_id: str
    ring_ms: int
    first: int
    most: int
    disputes_from: int
    window: int
    seconds: float


@dataclass
class Seen:
    """Times are epoch seconds."""

    ended: list[float] = field(default_factory=list)
    """When the hang-up of each call was reported."""
    placed: int = 0
    keys: int = 0
    cpu: float = 0.0


def work(job: Job) -> Seen:
    """Place calls for `seconds` and wait for the last of them."""
    seen = Seen()
    room = threading.Semaphore(job.window)
    up: set[str] = set()

    def on_event(event: Any, source: Any) -> None:
        del source
        if event.name == "Hangup":
            if event.keys["Uniqueid"] in up:
                up.discard(event.keys["Uniqueid"])
                seen.ended.append(time.time())
                room.release()
        elif event.name == "UserEvent" and event.keys["UserEvent"] == "MovecarKey":
            seen.keys += event.keys["Key"] == "1"

    client = AMIClient(address=job.host, port=job.port, timeout=30)
    client.add_event_listener(on_event)
    answer = client.login(job.user, job.secret).response
    if answer is None or answer.is_error():
        raise RuntimeError(f"log-in refused: {answer}")
    end = time.monotonic() + job.seconds
    while time.monotonic() < end and seen.placed < job.most:
        if not room.acquire(timeout=_PATIENCE):
            break
        _originate(client, job, job.first + seen.placed, up)
        seen.placed += 1
    waited = time.monotonic() + _PATIENCE
    while len(seen.ended) < seen.placed and time.monotonic() < waited:
        time.sleep(0.05)
    seen.cpu = time.process_time()
    return seen


def _originate(client: AMIClient, job: Job, vehicle: int, up: set[str]) -> None:
    attempt = uuid.uuid4().hex
    up.add(attempt)
    fields = {
        "ActionID": attempt,
        "Channel": f"PJSIP/{phone(vehicle, job.disputes_from)}@trunk-{job.caller_id}",
        "Context": "movecar-notice",
        "Exten": "s",
        "Priority": "1",
        "CallerID": f'"{job.caller_id}" <{job.caller_id}>',
        "Timeout": str(job.ring_ms),
        "Async": "true",
        "ChannelId": attempt,
        "Variable": f"MOVECAR_ATTEMPT={attempt},MOVECAR_SPEAK={speak(plate(vehicle))},MOVECAR_SCRIPT=1",
    }
    client.send_action(Action("Originate", fields))


def main() -> None:
    """One job."""
    given: dict[str, Any] = orjson.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(orjson.dumps(asdict(work(Job(**given)))))


if __name__ == "__main__":
    main()
