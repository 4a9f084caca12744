"""Two machines in one test: real engines and pairs, a wire that can be cut, one clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from services.common.clock import ManualClock
from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.engine import Engine, Outcome, Try
from services.escalation.faults.pair.messages import Role, headers, read, write
from services.escalation.faults.pair.news import unsettled
from services.escalation.faults.pair.pair import Pair
from services.escalation.faults.records import Record

AFTER = timedelta(seconds=15)
BAD, GOOD = Reading("bad", "down"), Reading("good")
SECRET = "what both machines know"


class Memory:
    """A journal that outlives its process."""

    def __init__(self) -> None:
        self.kept: dict[tuple[type[Record], str], Record] = {}

    async def load(self) -> Sequence[Record]:
        return list(self.kept.values())

    async def known(self, keys: Sequence[tuple[type[Record], str]]) -> Sequence[Record]:
        return [self.kept[key] for key in keys if key in self.kept]

    async def write(self, records: Sequence[Record]) -> None:
        self.kept |= {(type(record), record.id): record for record in records}


class Machine:
    """One of the two."""

    def __init__(self, role: Role, clock: ManualClock) -> None:
        self.role: Role = role
        self.disk = Memory()
        self._clock = clock
        self.taken: list[str] = []
        self.works = True
        self.boot()

    def boot(self) -> None:
        """A new process on the same disk."""
        self.pair = Pair(self.role, self._clock, well=lambda: self.works)
        channels: Mapping[str, list[str]] = {"desk": ["push"], "supervisor": ["email"]}
        self.engine = Engine(self.disk, self._clock, channels, AFTER, pair=self.pair)  # type: ignore[arg-type]

    async def due(self) -> list[Try]:
        """What would go out now to the desk."""
        return [one for one in await self.engine.due() if one.duty.audience == "desk"]

    async def give(self) -> list[str]:
        """Give what is due; return the ids of the duties."""
        tries = await self.engine.due()
        for one in tries:
            await self.engine.settle(one, Outcome(proof="HTTP 204", by="desk"))
        return sorted(one.duty.kind for one in tries if one.duty.audience == "desk")


@dataclass
class Two:
    """An active and a standby machine."""

    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.active = Machine("active", self.clock)
        self.standby = Machine("standby", self.clock)

    async def start(self) -> None:
        """Both up, all well, and heard of each other."""
        for machine in (self.active, self.standby):
            await machine.engine.start()
        await self.talk()
        await self.look(GOOD)
        await self.talk()

    async def talk(self) -> None:
        """One question and its answer, as they are on the wire."""
        await self._carry(self.active, self.standby, "")
        await self._carry(self.standby, self.active, self._last.name)

    async def _carry(self, sender: Machine, receiver: Machine, answers: str) -> None:
        message = self._last = sender.pair.say(answers=answers)
        raw, now = write(message), self.clock.now()
        got = read(SECRET, headers(SECRET, raw, now), raw, now)
        assert got == message
        if receiver.pair.hear(got, answers=answers):
            receiver.pair.owe(unsettled(receiver.engine.book))
        receiver.pair.owe(await receiver.engine.receive(got.records))
        receiver.pair.took(got)

    async def look(self, reading: Reading, *machines: Machine) -> None:
        """What the machines, or both, find of the database."""
        for machine in machines or (self.active, self.standby):
            await machine.engine.observe({"database": reading})

    async def pass_(self, seconds: int, reading: Reading, *, talking: bool = True) -> None:
        """Let time go by, a look and a word each second."""
        for _ in range(seconds):
            await self.clock.advance(1)
            if talking:
                await self.talk()
            await self.look(reading)
