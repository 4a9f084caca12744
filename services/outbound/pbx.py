"""The telephone system as the dialler sees it: place a call, ask what became of it, hear its events."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import structlog

from services.common.ami import AmiLink, Event, LinkDown, LinkUp, Refused, actions
from services.common.ami.actions import ATTEMPT_ID, CALLER_ID, ONE_TRUNK, Action
from services.common.events import CallMode
from services.outbound.calls import (
    CallEvent,
    Ended,
    HostileEvent,
    LeftResult,
    OriginateFailed,
    TrunkSeen,
    read_event,
    read_left,
    read_trunk,
)

log = structlog.get_logger(__name__)

ANSWER_SECONDS: Final = 5.0
"""How long an action may go unanswered. Asterisk answers within milliseconds, or not at all."""
HANGUP_SECONDS: Final = 2.0
"""How long the hang-up of a call's channel may follow the failure of its originate; milliseconds in fact."""


@dataclass(frozen=True)
class Call:
    """A call to be placed. Raises UnsafeValue when it is made with anything that may not be dialled or sent.

    `callee`: digits of a mobile or fixed line; `caller_id`, `script`: of the call script in force (B1, B3);
    `speak`: the plate as `speech.speak` gives it (B2); `ring_seconds`: 1–300; `mode` and `seat`: as
    `seats.connection` gives them (B7); `trunk`: one that the node has.
    """

    attempt_id: str
    callee: str = field(repr=False)
    caller_id: str
    script: int
    speak: str = field(repr=False)
    ring_seconds: float
    mode: CallMode = "notice"
    seat: str = ""
    trunk: str = ONE_TRUNK
    action: Action = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        action = actions.originate(
            attempt_id=self.attempt_id,
            callee=self.callee,
            trunk=self.trunk,
            caller_id=self.caller_id,
            script=self.script,
            speak=self.speak,
            ring_seconds=self.ring_seconds,
            mode=self.mode,
            seat=self.seat,
        )
        object.__setattr__(self, "action", action)


@dataclass(frozen=True, slots=True)
class Connected:
    """Events flow from here on; what happened before was missed and has to be asked for."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """No call can be placed; `reason` is a stable lowercase code."""

    reason: str


Notice = Connected | Disconnected | TrunkSeen | tuple[CallEvent, ...]


class Pbx:
    """One Asterisk, or the sandbox that speaks like it, over one `AmiLink`.

    `registered`: the address that is registered for a trunk → the trunk's name.
    """

    def __init__(self, link: AmiLink, registered: Mapping[str, str] = MappingProxyType({})) -> None:
        self._link = link
        self._registered = registered
        self.ignored: Counter[str] = Counter()
        """Events left out because a field of theirs was hostile or broken, by that field's name."""

    @property
    def connected(self) -> bool:
        """Whether a call could be placed now."""
        return self._link.connected

    @property
    def reason(self) -> str:
        """Why not: a stable lowercase code; empty while connected."""
        return self._link.reason

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        await self._link.run()

    async def originate(self, call: Call) -> None:
        """Place a call; return once Asterisk has taken it on. Nothing below this line repeats it (B5).

        Raises NotSent: the phone has not been and will not be rung. Refused: likewise, and Asterisk said so.
        Unknown: it may be ringing; only the events, `live_channels` and `left_result` can tell.
        """
        await self._link.send(call.action, ANSWER_SECONDS)

    async def caller_ids(self) -> frozenset[str]:
        """Return the caller IDs that the PBX would force on the wire. Raises NotSent, Refused or Unknown."""
        reply = await self._link.send(actions.caller_ids(), ANSWER_SECONDS)
        listed = reply.response.fields.get("Value", "").split(",")
        return frozenset(number for number in listed if re.fullmatch(CALLER_ID, number))

    async def live_channels(self) -> set[str]:
        """Return the ids of the attempts whose channels are up. Raises NotSent, Refused or Unknown."""
        reply = await self._link.send(actions.core_show_channels(), ANSWER_SECONDS)
        ids = (event.fields.get("Uniqueid", "") for event in reply.events)
        return {attempt_id for attempt_id in ids if re.fullmatch(ATTEMPT_ID, attempt_id)}

    async def left_result(self, attempt_id: str) -> LeftResult | None:
        """Return what the dialplan wrote down about an answered call; None when it wrote nothing.

        Raises NotSent, Refused or Unknown; HostileEvent when what is written cannot be understood.
        """
        try:
            reply = await self._link.send(actions.db_get(attempt_id), ANSWER_SECONDS)
        except Refused as refused:
            if "not found" in refused.message.lower():
                return None
            raise
        values = [
            event.fields.get("Val", "") for event in reply.events if event.fields.get("Key") == attempt_id
        ]
        if len(values) != 1:
            raise HostileEvent("Val")
        return read_left(values[0])

    async def hangup(self, attempt_id: str) -> bool:
        """Hang a call up; False when there is no such channel. Raises NotSent, Refused or Unknown."""
        try:
            await self._link.send(actions.hangup(attempt_id), ANSWER_SECONDS)
        except Refused as refused:
            if "no such channel" in refused.message.lower():
                return False
            raise
        return True

    async def stream(self) -> AsyncIterator[Notice]:
        """Yield connections, disconnections, what is said of trunks and batches of call events, in order.

        For one consumer.
        """
        failures = _HeldFailures()
        while True:
            notice = await self._link.take(failures.seconds_left())
            match notice:
                case LinkUp():
                    yield Connected()
                case LinkDown(reason=reason):
                    failures.forget()  # what became of these calls is asked for after the next connection
                    yield Disconnected(reason)
                case _:
                    seen: list[TrunkSeen] = []
                    events = failures.filter(self._read(notice or (), seen))
                    for trunk in seen:
                        yield trunk
                    if events:
                        yield events

    def _read(self, batch: tuple[Event, ...], seen: list[TrunkSeen]) -> list[CallEvent]:
        events = []
        for event in batch:
            try:
                read = read_event(event.name, event.fields)
                trunk = read_trunk(event.name, event.fields, self._registered)
                if trunk is not None:
                    seen.append(trunk)
            except HostileEvent as error:
                self.ignored[str(error)] += 1
                log.warning("ami_event_ignored", name=event.name, field=str(error))
            else:
                if read is not None:
                    events.append(read)
        return events


class _HeldFailures:
    """Holds `OriginateFailed` back until it is known that no `Ended` follows.

    Asterisk reports the failed originate (reason 0 for busy, declined and much else) before or after the
    channel's hang-up, and only the latter has the cause; but a call that never got a channel has no hang-up.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[OriginateFailed, float]] = {}
        self._up: set[str] = set()
        """Attempts that have a channel: their end will be told."""

    def seconds_left(self) -> float | None:
        """Until the first held failure has to be let go; None when there is none."""
        due = next((due for _, due in self._held.values()), None)
        return None if due is None else max(0.0, due - asyncio.get_running_loop().time())

    def forget(self) -> None:
        """Drop what is held."""
        self._held.clear()
        self._up.clear()

    def filter(self, events: Iterable[CallEvent]) -> tuple[CallEvent, ...]:
        """Return the events to pass on now, with the failures whose time is up."""
        now = asyncio.get_running_loop().time()
        passed: list[CallEvent] = []
        for event in events:
            match event:
                case OriginateFailed():
                    if event.attempt_id not in self._up:
                        self._held.setdefault(event.attempt_id, (event, now + HANGUP_SECONDS))
                    continue
                case Ended():
                    self._held.pop(event.attempt_id, None)
                    self._up.discard(event.attempt_id)
                case _:
                    self._up.add(event.attempt_id)
            passed.append(event)
        for failure, due in list(self._held.values()):
            if due > now:
                break
            del self._held[failure.attempt_id]
            passed.append(failure)
        return tuple(passed)


class EveryNode:
    """What has to hold on every node before a call may be placed on any."""

    def __init__(self, nodes: Mapping[str, Pbx]) -> None:
        self._nodes = nodes

    async def caller_ids(self) -> frozenset[str]:
        """Return the caller IDs that every node would force on the wire. Raises as `Pbx.caller_ids`."""
        answers = [await pbx.caller_ids() for pbx in self._nodes.values()]
        return frozenset.intersection(*answers)
