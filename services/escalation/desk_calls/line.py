"""The desk's line over Asterisk: one call at a time, and what the person at the desk pressed.

It needs no database, so that it also works when that is what has failed (C4).
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import structlog

from services.common.ami import AmiError, AmiLink, Event, LinkDown, LinkUp, NotSent, Refused, Unknown, actions
from services.common.clock import Clock

log = structlog.get_logger(__name__)

EVENT_NAMES: Final = frozenset({"Newstate", "Hangup", "OriginateResponse", "UserEvent"})
RING_SECONDS: Final = 30.0
LONGEST_SECONDS: Final = 150.0
"""Longer than ringing and the longest call that the dialplan allows together."""
_ANSWER_SECONDS: Final = 5.0
_HANGUP_SECONDS: Final = 2.0
"""How long the end of the channel may follow the failure of its originate."""
CONFIRM_KEY: Final = "1"

Outcome = Literal["acknowledged", "not_confirmed", "busy", "no_answer", "failed", "unknown"]
"""`not_confirmed`: answered, and the key was not pressed. `unknown`: the end was not seen."""

_CAUSES: Final[dict[int, Outcome]] = {17: "busy", 18: "no_answer", 19: "no_answer", 20: "no_answer"}
"""Hang-up cause of a call that was not answered → outcome; others are `failed`."""


@dataclass(slots=True)
class DeskAnswer:
    """What came of a call to the desk's line: the proof that it was, or was not, told."""

    outcome: Outcome = "unknown"
    answered_at: datetime | None = None
    key: str | None = None
    key_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class _Following:
    link: AmiLink
    answer: DeskAnswer = field(default_factory=DeskAnswer)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    failed_at: float | None = None


class DeskLine:
    """Calls the desk. `run()` keeps the links to every Asterisk up; `call()` may be used by several at once.

    The first of them that is up places the call; the desk's number is the same on each.
    """

    def __init__(self, links: Sequence[AmiLink], clock: Clock, caller_id: str) -> None:
        self._links = links
        self._clock = clock
        self._caller_id = caller_id
        self._followed: dict[str, _Following] = {}
        self._hearing: Counter[AmiLink] = Counter()

    @property
    def connected(self) -> bool:
        """Whether a call could be placed now."""
        return any(link.connected for link in self._links)

    async def run(self) -> None:
        """Keep the links up and follow what happens on them, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for link in self._links:
                tasks.create_task(link.run())
                tasks.create_task(self._follow(link))

    async def call(self, call_id: str, say: tuple[str, ...], joins: str = "") -> DeskAnswer:
        """Ring the desk, say the prompts `say`, and return what came of it.

        With `joins`, an attempt's id, the desk is put into that attempt's conversation once it has confirmed.

        `call_id` (32 lowercase hex digits, never used before) is the channel's id. Raises NotSent or Refused
        when no phone was rung; after anything else the answer tells, `unknown` at the worst: who calls
        decides whether to call again, because a second notice beats silence (C4).
        """
        link = next((link for link in self._links if link.connected), None)
        if link is None:
            raise NotSent("not_connected")
        following = self._followed[call_id] = _Following(link)
        try:
            async with self._hears(link):
                return await self._place(following, call_id, say, joins)
        finally:
            del self._followed[call_id]

    @contextlib.asynccontextmanager
    async def _hears(self, link: AmiLink) -> AsyncIterator[None]:
        """Hear of calls while one is under way; all the rest of the time owners' calls are not told to us.

        Raises NotSent or Refused. Actions keep their order on the wire, so a call that begins while the last
        one ends is heard; each asks for itself, because the connection may have been renewed meanwhile.
        """
        self._hearing[link] += 1
        try:
            try:
                await link.send(actions.events(actions.EVERYTHING), _ANSWER_SECONDS)
            except Unknown as error:
                raise NotSent(error.reason) from error  # nobody was rung
            yield
        finally:
            self._hearing[link] -= 1
            if not self._hearing[link]:
                with contextlib.suppress(AmiError):  # the next connection begins quiet
                    await link.send(actions.events(actions.LITTLE), _ANSWER_SECONDS)

    async def _place(
        self, following: _Following, call_id: str, say: tuple[str, ...], joins: str
    ) -> DeskAnswer:
        action = actions.originate_desk(
            call_id=call_id,
            caller_id=self._caller_id,
            say=".".join(say),
            ring_seconds=RING_SECONDS,
            joins=joins,
        )
        try:
            await following.link.send(action, _ANSWER_SECONDS)
        except (NotSent, Refused):
            raise
        except AmiError as error:  # it may be ringing: its events tell
            log.warning("desk_call_unanswered", call=call_id, reason=error.reason)
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await following.over.wait()
        except TimeoutError:
            log.warning("desk_call_lost", call=call_id)
        return following.answer

    async def _follow(self, link: AmiLink) -> None:
        while True:
            notice = await link.take(_HANGUP_SECONDS)
            match notice:
                case LinkUp():
                    log.info("desk_line_up")
                case LinkDown(reason=reason):
                    log.warning("desk_line_down", reason=reason)
                    for following in self._followed.values():
                        if following.link is link:
                            following.over.set()
                case tuple():
                    for event in notice:
                        self._take(event)
            self._give_up_failed()

    def _take(self, event: Event) -> None:
        following, fields = self._followed_by(event), event.fields
        if following is None:
            return
        answer, now = following.answer, self._clock.now()
        match event.name:
            case "Newstate" if fields.get("ChannelState") == "6":
                answer.answered_at = answer.answered_at or now
            case "UserEvent" if fields.get("UserEvent") == "MovecarDeskKey" and answer.key is None:
                key = fields.get("Key", "")
                if re.fullmatch("[0-9*#]", key):
                    answer.answered_at = answer.answered_at or now
                    answer.key, answer.key_at = key, now
                    if key == CONFIRM_KEY:
                        # Known at once: what follows is only the thanks.
                        answer.outcome, answer.ended_at = "acknowledged", now
                        following.over.set()
            case "Hangup":
                cause = fields.get("Cause", "")
                self._end(following, int(cause) if re.fullmatch("[0-9]{1,3}", cause) else 0)
            case "OriginateResponse" if fields.get("Response") == "Failure":
                following.failed_at = asyncio.get_running_loop().time()

    def _followed_by(self, event: Event) -> _Following | None:
        fields = event.fields
        match event.name:
            case "OriginateResponse":
                return self._followed.get(fields.get("ActionID", ""))
            case "UserEvent":
                return self._followed.get(fields.get("CallId", ""))
            case _:
                return self._followed.get(fields.get("Uniqueid", ""))

    def _end(self, following: _Following, cause: int) -> None:
        answer = following.answer
        if answer.outcome == "unknown":
            answered = answer.answered_at is not None
            answer.outcome = "not_confirmed" if answered else _CAUSES.get(cause, "failed")
        answer.ended_at = answer.ended_at or self._clock.now()
        following.over.set()

    def _give_up_failed(self) -> None:
        """End calls whose originate failed and that never had a channel, so that no hang-up follows."""
        now = asyncio.get_running_loop().time()
        for following in self._followed.values():
            if following.failed_at is not None and now - following.failed_at >= _HANGUP_SECONDS:
                self._end(following, 0)
