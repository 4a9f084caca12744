"""One of two machines: who gives a notice, what the other has to be told, what it has said. No I/O (C4).

The machine whose role is `active` never waits for the other. The one whose role is `standby` leaves notices
to it while it says every second that it is well, and at most HOLD for each notice; in any doubt both give it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from services.common.clock import Clock
from services.common.ids import new_id
from services.escalation.faults.detection.judge import Health, Reading
from services.escalation.faults.pair.joined import Shared
from services.escalation.faults.pair.messages import MAX_RECORDS, Message, Place, Refused, Role
from services.escalation.faults.parts import part
from services.escalation.faults.records import UNKEPT, Delivery, Duty, Fault, Finding, Maintenance, Record

LONGEST_SILENCE = 8.0
"""Seconds without a word of the other machine after which it counts as gone."""
FRESH = 2.0
"""Seconds for which what the active machine saw says how the parts are."""
HOLD = timedelta(seconds=60)
"""How long the standby leaves a notice to an active machine that is well and has no proof of it."""
MAX_OWED = 10_000
"""Changes kept for a machine that is away; when there were more, it is told all that is not settled."""
_GOOD = Reading("good")
_LIVES = 100
"""Processes of the other machine that are remembered, so that none of their messages is taken again."""


class Pair:
    """This machine's half. `silence` is in seconds."""

    def __init__(
        self,
        role: Role,
        clock: Clock,
        *,
        silence: float = LONGEST_SILENCE,
        well: Callable[[], bool] = lambda: True,
    ) -> None:
        self.role: Role = role
        self.life = new_id()
        self.trouble = "尚无联系"
        self._clock = clock
        self._silence = silence
        self._well = well
        self._steady_since = clock.monotonic()
        self._was_away = True
        self._readings: dict[str, Health] = {}
        self._heard_at = float("-inf")
        self._last: Message | None = None
        self._numbers: dict[str, int] = {}
        self._sent = 0
        self._taken = Place("", 0)
        self._mark = 0
        self._owed: dict[tuple[type[Record], str], tuple[int, Shared]] = {}
        self._dropped = False
        self._listeners: list[Callable[[], None]] = []

    # -- what the engine asks -------------------------------------------------------------------------------

    @property
    def machine(self) -> str:
        """The role: a lasting name."""
        return self.role

    def held(self, duty: Duty, delivery: Delivery, now: datetime) -> bool:
        """Whether the active machine is left to give a notice: it is well, and has not had its time.

        `next_try_at` of a delivery that was never tried here is the moment it came to be known here.
        """
        if not self.follows:
            return False
        return duty.state not in UNKEPT or (delivery.tries == 0 and now - delivery.next_try_at < HOLD)

    def seen(self, readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
        """Return what counts: while the standby follows, of the shared parts what the active one found."""
        self._readings = {name: reading.health for name, reading in readings.items() if not part(name).local}
        found = dict(readings)
        differ: list[str] = []
        fresh = self._clock.monotonic() - self._heard_at <= FRESH
        if self.follows and self._last is not None:
            for name, health in self._last.readings.items():
                if health == "unknown" or part(name).local:
                    continue
                own = readings.get(name)
                if own is not None and own.health == health:
                    continue
                if not fresh:  # what it saw then is not known to be so now
                    found[name] = Reading("unknown")
                    continue
                found[name] = _GOOD if health == "good" else Reading("bad", "主机所见")
                if own is not None and own.health == "bad":
                    differ.append(part(name).title)
        if not self.heard:
            found["peer"] = Reading("bad", self.trouble or f"{self._silence:g}秒内无消息")
        elif self._last is not None and self._last.role == self.role:
            found["peer"] = Reading("bad", "两机角色相同，请检查 MOVECAR_ESCALATION_ROLE")
        elif differ:
            found["peer"] = Reading("bad", f"两机所见不同：{'、'.join(sorted(differ))}")
        else:
            found["peer"] = _GOOD
        return found

    def waits(self, component: str, ripe_at: datetime, now: datetime) -> bool:
        """Whether the active machine is left to open, or close, a fault: it sees the same a moment sooner."""
        return not part(component).local and self.follows and now - ripe_at < HOLD

    def downtime(self, component: str) -> bool:
        """A part of the standby's own turns nobody away."""
        found = part(component)
        return found.downtime and not (self.role == "standby" and found.local)

    def covered(self, began_at: datetime, now: datetime) -> bool:
        """Whether the other machine, heard just now, has been watching since then without a break."""
        last = self._last
        return last is not None and self.heard and timedelta(seconds=last.steady) >= now - began_at

    def missed(self, absence: timedelta) -> None:
        """Note how long nobody watched here: the other machine stands in for an absence that it notices."""
        self._was_away = absence.total_seconds() >= self._silence

    def uninformed_since(self, now: datetime) -> datetime | None:
        """Return since when this machine is back and the other one, which may have stood in, silent."""
        at, moment = self.uninformed_at, self._clock.monotonic()
        if at is None or moment < at:
            return None
        return now - timedelta(seconds=moment - self._steady_since)

    def changed(self, records: Sequence[Record]) -> None:
        """Owe the other machine what changed here: all but what each machine decides for itself."""
        self.owe(
            record
            for record in records
            if isinstance(record, Fault | Duty | Finding | Maintenance)
            or (isinstance(record, Delivery) and record.state == "delivered")
        )

    # -- what there is to know -----------------------------------------------------------------------------

    @property
    def heard(self) -> bool:
        """Whether the other machine has said something lately."""
        return self._clock.monotonic() - self._heard_at < self._silence

    @property
    def follows(self) -> bool:
        """Whether this machine is a standby whose active machine is well: then that one gives the notices."""
        last = self._last
        trusted = last is not None and last.role == "active" and last.well and not last.leaving
        return self.role == "standby" and trusted and self.heard

    @property
    def silent_at(self) -> float | None:
        """When, on the monotonic clock, the other machine counts as gone unless it speaks; None: it does."""
        return self._heard_at + self._silence if self.heard else None

    @property
    def uninformed_at(self) -> float | None:
        """When, on the monotonic clock, this machine goes on without what the other one told in its absence.

        None: it was not away, or has heard the other one since.
        """
        if not self._was_away or self._heard_at >= self._steady_since:
            return None
        return self._steady_since + self._silence

    @property
    def heard_for(self) -> float | None:
        """Seconds since the other machine was last heard; None: never."""
        return None if self._last is None else self._clock.monotonic() - self._heard_at

    @property
    def other(self) -> Message | None:
        """What the other machine said last."""
        return self._last

    @property
    def settled(self) -> bool:
        """Whether the other machine has taken over all that it is owed."""
        return not self._owed

    def on_owed(self, listener: Callable[[], None]) -> None:
        """Call `listener` when there is something to tell."""
        self._listeners.append(listener)

    # -- what is said --------------------------------------------------------------------------------------

    def broke_off(self) -> None:
        """Note that this process stood still: it has not been watching since it was started."""
        self._steady_since = self._clock.monotonic()
        self._was_away = True

    def owe(self, records: Iterable[Shared]) -> None:
        """Keep changes until the other machine has them; of each record the last state."""
        news = False
        for record in records:
            key = type(record), record.id
            self._owed.pop(key, None)
            self._mark += 1
            self._owed[key] = (self._mark, record)
            news = True
        while len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]
            self._dropped = True
        if news:
            for listener in self._listeners:
                listener()

    def say(self, answers: str = "", *, leaving: bool = False) -> Message:
        """Return the next message."""
        self._sent += 1
        told = list(self._owed.values())[:MAX_RECORDS]
        return Message(
            life=self.life,
            number=self._sent,
            role=self.role,
            steady=max(0.0, self._clock.monotonic() - self._steady_since),
            well=self._well(),
            leaving=leaving,
            answers=answers,
            readings=self._readings,
            records=tuple(record for _, record in told),
            mark=told[-1][0] if told else self._mark,
            have=self._taken,
        )

    def hear(self, message: Message, answers: str = "") -> bool:
        """Take note of a message; return whether its sender has to be told all that is not settled.

        `answers` names the message of ours that it must be the answer to. Its records are not taken over yet:
        see `took`. Raises Refused for one that was taken before, or that answers something else.
        """
        if message.life == self.life:
            raise Refused(409, "own_message", "这是本机自己的消息：MOVECAR_ESCALATION_PEER 应为另一台的地址")
        if message.answers != answers:
            raise Refused(409, "other_answer", "这不是对本机消息的应答")
        known = self._numbers.get(message.life)
        new = self._last is None or self._last.life != message.life
        if known is not None and (new or (not answers and message.number <= known)):
            raise Refused(409, "replayed_message", "此消息已经收到过")
        self._numbers[message.life] = max(message.number, known or 0) if not answers else known or 0
        while len(self._numbers) > _LIVES:
            del self._numbers[next(iter(self._numbers))]
        self._last, self._heard_at, self.trouble = message, self._clock.monotonic(), ""
        new, self._dropped = new or self._dropped, False
        if message.have.life == self.life:
            for key, (mark, _) in list(self._owed.items()):
                if mark <= message.have.mark:
                    del self._owed[key]
        return new

    def took(self, message: Message) -> None:
        """Note that a message's records have been taken over."""
        if self._taken.life != message.life or message.mark > self._taken.mark:
            self._taken = Place(message.life, message.mark)

    def troubled(self, text: str) -> None:
        """Note why the other machine cannot be reached."""
        self.trouble = text
