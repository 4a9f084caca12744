"""The sandbox's calls: each runs its course as Asterisk and the notice dialplan would take it."""

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.common.ami.actions import SCRIPT, TRUNK
from services.common.clock import Clock
from services.outbound.calls import BRIDGED, KEY_OUTCOMES
from services.outbound.evidence.line import CallRecord, Disposition
from services.outbound.sandbox import owners
from services.outbound.sandbox.owners import Owner, owner_of, seat_answers
from services.outbound.sandbox.protocol import Action, Fields
from services.outbound.sandbox.recorder import Recorder

MAX_CALLS: Final = 1000
MAX_RESULTS: Final = 10_000
"""Results that are kept for clients that were away; the oldest goes first."""

DEAD_END: Final = "x"
"""A trunk whose name ends so answers every call 503, before any phone rings."""
_STATES: Final = {"Down": "0", "Ringing": "5", "Up": "6"}
_CAUSES: Final = {
    16: ("Normal Clearing", ""),
    17: ("User busy", "486"),
    19: ("User alerting, no answer", "480"),
    21: ("Call Rejected", "603"),
    34: ("Circuit/channel congestion", "503"),
}
"""Cause → its text, and the SIP status that Asterisk shows beside it."""
_REASONS: Final = {"answered": 4, "rang_out": 3, "failed": 0}
"""As Asterisk gives them: it calls a busy or declining owner a plain failure."""
_CHANNEL: Final = re.compile(
    r"(?P<device>[A-Za-z]{1,20}/(?P<number>[0-9]{1,20})(?:@(?P<peer>[A-Za-z0-9_-]{1,40}))?)"
)
DESK: Final = "PJSIP/desk"
"""The channel of the desk's line: its number is the PBX's own setting."""
_CALLER_ID: Final = re.compile(r'"?(?P<name>[^"<>]{0,80}?)"?\s*<(?P<number>[0-9]{0,20})>')

_DISPOSITIONS: Final[dict[int, Disposition]] = {17: "BUSY", 34: "CONGESTION"}
"""Of a call that was not answered, by its cause: Asterisk has no word for the others."""

Publish = Callable[[str, str, Fields], None]
"""Event name, event class, fields."""
Keep = Callable[[CallRecord], None]
"""Keeps the record of a channel that is gone."""


class NoSuchCall(Exception):
    """The action asks for a call that cannot be placed; the message is Asterisk's."""


@dataclass(slots=True, eq=False)
class Channel:
    """One call that is up, as Asterisk's channel would be."""

    name: str
    unique_id: str
    number: str
    caller_name: str
    caller_number: str
    context: str
    exten: str
    priority: str
    attempt_id: str
    script: str
    serial: int
    started: datetime
    bridge: bool = False
    """Whether the owner is connected to the seat after the greeting (B7)."""
    seat: str = ""
    answered: datetime | None = None
    state: str = "Down"
    began: float = 0.0
    cause: int = 16
    result: str = "hung_up"
    answered_at: int | None = None
    desk: bool = False
    trunk: str = ""
    """Whether it is a call to the desk's line."""
    connected_at: int | None = None
    """When the owner was connected to the seat."""
    dialled: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Whether it was answered."""
    task: asyncio.Task[None] | None = None

    def snapshot(self) -> list[tuple[str, str]]:
        """The fields that Asterisk gives of a channel in every event."""
        return [
            ("Channel", self.name),
            ("ChannelState", _STATES[self.state]),
            ("ChannelStateDesc", self.state),
            ("CallerIDNum", self.caller_number),  # never the number that was called
            ("CallerIDName", self.caller_name),
            ("ConnectedLineNum", self.caller_number),
            ("ConnectedLineName", self.caller_name),
            ("Language", "zh"),
            ("AccountCode", ""),
            ("Context", self.context),
            ("Exten", self.exten),
            ("Priority", self.priority),
            ("Uniqueid", self.unique_id),
            ("Linkedid", self.unique_id),
        ]


class Exchange:
    """Places calls and tells everybody what happens to them; knows nothing of connections."""

    def __init__(
        self,
        clock: Clock,
        speed: float,
        publish: Publish,
        keep: Keep,
        caller_ids: tuple[str, ...],
        desk_number: str,
        recorder: Recorder | None = None,
    ) -> None:
        self._clock = clock
        self._speed = speed
        self._publish = publish
        self._keep = keep
        self._endpoint = re.compile(f"(?P<trunk>{TRUNK})-(?:{'|'.join(caller_ids)})|desk")
        self._desk_number = desk_number
        self._recorder = recorder
        self._numbers = itertools.count(1)
        self.channels: dict[str, Channel] = {}
        self.results: dict[str, str] = {}
        """What the dialplan leaves in AstDB: attempt id → `result;answered;ended[;connected]`."""

    def originate(self, action: Action) -> Channel:
        """Begin a call; its events follow from the next turn of the event loop. Raises NoSuchCall."""
        if not action.get("channel"):
            raise NoSuchCall("Channel not specified")
        desk = action["channel"] == DESK
        match = _CHANNEL.fullmatch(f"PJSIP/{self._desk_number}@desk" if desk else action["channel"])
        if match is None or len(self.channels) >= MAX_CALLS:
            raise NoSuchCall("Originate failed")
        if not (action.get("context") and action.get("exten") and action.get("priority")):
            raise NoSuchCall("Originate with 'Exten' requires 'Context' and 'Priority'")
        timeout = action.get("timeout") or "30000"
        if not re.fullmatch("[0-9]{1,9}", timeout):
            raise NoSuchCall("Invalid timeout")
        number = next(self._numbers)
        caller = _CALLER_ID.fullmatch(action.get("callerid", ""))
        unique_id = action.get("channelid") or f"{int(self._clock.now().timestamp())}.{number}"
        channel = Channel(
            name=f"{match['device'].partition('/')[0]}/{match['peer'] or match['number']}-{number:08x}",
            unique_id=unique_id,
            number=match["number"],
            caller_name=caller["name"] if caller else "",
            caller_number=caller["number"] if caller else "",
            context=action["context"],
            exten=action["exten"],
            priority=action["priority"],
            attempt_id=action.variables.get("MOVECAR_ATTEMPT", unique_id),
            script=action.variables.get("MOVECAR_SCRIPT", ""),
            serial=number,
            started=self._clock.now(),
            bridge=action.variables.get("MOVECAR_MODE") == "bridge",
            seat=action.variables.get("MOVECAR_SEAT", ""),
            began=self._clock.monotonic(),
            desk=desk,
            trunk=(match["peer"] or "").partition("-")[0],
        )
        if unique_id in self.channels or self._endpoint.fullmatch(match["peer"] or "") is None:
            # Asterisk makes no second channel of one id, and none without an endpoint, which is what decides
            # the caller ID (B1): the call fails before anything is dialled.
            self._answer_originate(channel, action, "failed", match["device"])
            return channel
        self.channels[unique_id] = channel
        channel.task = asyncio.create_task(self._life(channel, action, int(timeout) / 1000))
        return channel

    def find(self, name: str) -> Channel | None:
        """The channel of this name or id, as Asterisk looks them up."""
        by_name = (channel for channel in self.channels.values() if channel.name == name)
        return self.channels.get(name) or next(by_name, None)

    def hangup(self, channel: Channel, cause: int) -> None:
        """End a call from our side."""
        channel.cause = cause
        if channel.task is not None:
            # A task that is cancelled before its first step never gets to say that the call ended.
            asyncio.get_running_loop().call_soon(channel.task.cancel)

    async def stop(self) -> None:
        """Forget every call at once, as a PBX that loses power."""
        tasks = [channel.task for channel in self.channels.values() if channel.task is not None]
        self.channels.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _life(self, channel: Channel, action: Action, ring_limit: float) -> None:
        fate, owner = "failed", owner_of(channel.number)
        try:
            self._tell("Newchannel", channel)
            fate = await self._dial(channel, owner, ring_limit)
            if fate == "answered":
                self._answer_originate(channel, action, fate, channel.name)
                await (self._inform if channel.desk else self._converse)(channel, owner)
        except asyncio.CancelledError:
            if channel.unique_id not in self.channels:
                raise  # stopped; a hang-up only ends the conversation
        del self.channels[channel.unique_id]
        self._keep(_record(channel, self._clock.now()))
        if not channel.desk:
            self._leave(channel, ended=True)
            if channel.answered is not None and self._recorder is not None:
                length = self._clock.now() - channel.answered
                self._recorder.write(channel.attempt_id, length.total_seconds())
        if not channel.dialled.done():
            self._answer_originate(channel, action, fate, action["channel"])
        self._tell("Hangup", channel, _cause(channel.cause))

    async def _dial(self, channel: Channel, owner: Owner, ring_limit: float) -> str:
        if channel.trunk.endswith(DEAD_END):
            channel.cause = 34
            return "failed"
        await self._pass(owners.UNTIL_RINGING)
        if owner.reaction == "is_busy":
            channel.cause = 17
            return "failed"
        self._enter(channel, "Ringing")
        left = ring_limit - owners.UNTIL_RINGING
        if owner.reaction == "is_out" or owner.ringing > left:
            await self._pass(left)
            channel.cause = 19
            return "rang_out"
        await self._pass(owner.ringing)
        if owner.reaction == "declines":
            channel.cause = 21
            return "failed"
        self._enter(channel, "Up")
        channel.answered = self._clock.now()
        channel.answered_at = int(channel.answered.timestamp())
        return "answered"

    async def _converse(self, channel: Channel, owner: Owner) -> None:
        if not re.fullmatch(SCRIPT, channel.script):
            failure = [("Status", "UNSPEAKABLE"), ("Prompt", "")]
            self._say(channel, "MovecarPromptFailed", *failure)
            channel.result = "failed"
            return
        reachable = channel.bridge and self._ring_seat(channel)
        self._say(channel, "MovecarGreeting", ("Phase", "start"))
        if owner.key is None:
            await self._pass(owners.UNTIL_HUNG_UP)
            return
        await self._pass(owners.GREETING)
        if reachable:
            await self._talk(channel)
            return
        await self._pass(owners.MENU)
        self._say(channel, "MovecarGreeting", ("Phase", "end"))
        await self._pass(owners.UNTIL_KEY)
        self._say(channel, "MovecarKey", ("Key", owner.key))
        channel.result = KEY_OUTCOMES[owner.key]
        self._leave(channel, ended=False)
        if owner.key == "0" and not channel.bridge and self._ring_seat(channel):
            await self._pass(owners.UNTIL_SEAT_ANSWERS)
            await self._talk(channel)
            return
        await self._pass(owners.GOODBYE)

    def _ring_seat(self, channel: Channel) -> bool:
        answers = seat_answers(channel.seat)
        self._say(channel, "MovecarSeat", ("Phase", "ringing" if answers else "unavailable"))
        return answers

    async def _talk(self, channel: Channel) -> None:
        if channel.result == "hung_up":  # after key 0 the greeting's end has been told
            self._say(channel, "MovecarGreeting", ("Phase", "end"))
        channel.result, channel.connected_at = BRIDGED, int(self._clock.now().timestamp())
        self._leave(channel, ended=False)
        self._say(channel, "MovecarSeat", ("Phase", "connected"))
        await self._pass(owners.TALK)
        self._say(channel, "MovecarSeat", ("Phase", "left"))
        await self._pass(owners.GOODBYE)

    async def _inform(self, channel: Channel, person: Owner) -> None:
        """Say to the desk what there is to say; it presses the key that an owner of its number would."""
        if person.key is None:
            await self._pass(owners.UNTIL_HUNG_UP)
            return
        await self._pass(owners.UNTIL_KEY)
        extra = [("UserEvent", "MovecarDeskKey"), ("CallId", channel.unique_id), ("Key", person.key)]
        self._publish("UserEvent", "user", [*channel.snapshot(), *extra])
        await self._pass(owners.GOODBYE)

    async def _pass(self, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds) / self._speed)

    def _leave(self, channel: Channel, *, ended: bool) -> None:
        end = int(self._clock.now().timestamp()) if ended else ""
        self.results.pop(channel.attempt_id, None)
        connected = f";{channel.connected_at}" if channel.connected_at is not None else ""
        note = f"{channel.result};{channel.answered_at};{end}{connected}"
        self.results[channel.attempt_id] = (
            note if channel.answered is not None else f"cause-{channel.cause};0;{end}"
        )
        if len(self.results) > MAX_RESULTS:
            del self.results[next(iter(self.results))]

    def _enter(self, channel: Channel, state: str) -> None:
        channel.state = state
        self._tell("Newstate", channel)

    def _tell(self, name: str, channel: Channel, fields: Fields = ()) -> None:
        self._publish(name, "call", [*channel.snapshot(), *fields])

    def _say(self, channel: Channel, kind: str, *fields: tuple[str, str]) -> None:
        extra = [("UserEvent", kind), ("AttemptId", channel.attempt_id), *fields]
        self._publish("UserEvent", "user", [*channel.snapshot(), *extra])

    def _answer_originate(self, channel: Channel, action: Action, fate: str, shown: str) -> None:
        channel.dialled.set_result(fate == "answered")
        fields = [
            ("Response", "Success" if fate == "answered" else "Failure"),
            ("Channel", shown),
            ("Context", channel.context),
            ("Exten", channel.exten),
            ("Reason", str(_REASONS[fate])),
            ("Uniqueid", channel.unique_id),
            ("CallerIDNum", channel.caller_number),
            ("CallerIDName", channel.caller_name),
        ]
        action_id = [("ActionID", action["actionid"])] if action.get("actionid") else []
        self._publish("OriginateResponse", "call", [*action_id, *fields])


def _record(channel: Channel, ended: datetime) -> CallRecord:
    billed = (ended - channel.answered).total_seconds() if channel.answered else 0.0
    return CallRecord(
        unique_id=channel.unique_id,
        linked_id=channel.unique_id,
        channel=channel.name if channel.name.startswith("PJSIP/") else "other",
        started_at=channel.started,
        answered_at=channel.answered,
        ended_at=ended,
        duration=(ended - channel.started).total_seconds(),
        billed=billed,
        disposition="ANSWERED" if channel.answered else _DISPOSITIONS.get(channel.cause, "NO ANSWER"),
        sequence=channel.serial,
    )


def _cause(cause: int) -> Fields:
    text, status = _CAUSES.get(cause, ("Unknown", ""))
    return [("Cause", str(cause)), ("Cause-txt", text), *([("TechCause", status)] if status else [])]
