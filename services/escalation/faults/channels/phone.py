"""A call to the desk's own line: the key pressed there is the proof (C4)."""

import asyncio
from typing import Final

from services.common.ami import AmiError
from services.common.clock import Clock
from services.common.http.times import rfc3339
from services.common.ids import new_id
from services.escalation.desk_calls.line import DeskAnswer, DeskLine
from services.escalation.desk_calls.speech import notice_words
from services.escalation.faults.channels.contract import NotDelivered
from services.escalation.faults.notices import Notice
from services.escalation.faults.policy import PHONE
from services.escalation.faults.records import Audience

_TRY_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 90.0
"""How long the desk is left in peace after a call about the same notice that nobody confirmed."""


class PhoneChannel:
    """Rings the desk. A call outlasts one try; the next one hears what came of it and does not call again."""

    def __init__(self, line: DeskLine, clock: Clock, desk_phone: str) -> None:
        self._line = line
        self._clock = clock
        self._desk_phone = desk_phone
        self._calls: dict[str, tuple[asyncio.Task[DeskAnswer], str]] = {}
        self._tried_at: dict[str, float] = {}

    @property
    def name(self) -> str:
        """`phone`."""
        return PHONE

    @property
    def audience(self) -> Audience:
        """The desk."""
        return "desk"

    async def deliver(self, notice: Notice) -> tuple[str, str]:
        """Call, and return who confirmed and when. Raises NotDelivered while nobody has."""
        if notice.id not in self._calls:
            self._begin(notice)
        call, call_id = self._calls[notice.id]
        done, _ = await asyncio.wait((call,), timeout=_TRY_SECONDS)
        if not done:
            raise NotDelivered("正在呼叫接警台")
        del self._calls[notice.id]
        try:
            answer = call.result()
        except AmiError as error:
            raise NotDelivered(f"呼叫未能发出：{error}") from None
        if answer.outcome != "acknowledged" or answer.key_at is None:
            raise NotDelivered(f"接警台电话未确认：{answer.outcome}")
        return f"110接警台 {self._desk_phone}", f"按键 {answer.key}，{rfc3339(answer.key_at)}，通话 {call_id}"

    def _begin(self, notice: Notice) -> None:
        if not self._line.connected:
            raise NotDelivered("电话交换机不可用")
        now = self._clock.monotonic()
        if now - self._tried_at.get(notice.id, float("-inf")) < _QUIET_SECONDS:
            raise NotDelivered("稍后再次呼叫")
        self._tried_at = {known: at for known, at in self._tried_at.items() if now - at < _QUIET_SECONDS} | {
            notice.id: now
        }
        call_id = new_id()
        words = notice_words(recovered=notice.type == "fault.recovered", drill=notice.data.drill)
        self._calls[notice.id] = (asyncio.create_task(self._line.call(call_id, words)), call_id)

    async def close(self) -> None:
        """Let go of calls that are up; the person at the desk hears them to the end."""
        calls = [call for call, _ in self._calls.values()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
