"""Faults put together: journal, engine, channels, probes, API; nothing is started."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from aiohttp import web

from services.common.service import Check, Kernel
from services.common.settings import Settings
from services.escalation.contract.notices import NoticeEvidence
from services.escalation.desk_calls.line import DeskLine
from services.escalation.faults.api import FaultApi
from services.escalation.faults.channels.choice import choose
from services.escalation.faults.channels.contract import Channel
from services.escalation.faults.channels.feed import FeedChannel
from services.escalation.faults.channels.phone import PhoneChannel
from services.escalation.faults.detection.lookout import Lookout
from services.escalation.faults.engine import Engine
from services.escalation.faults.incidents import Incidents
from services.escalation.faults.journal import Journal
from services.escalation.faults.losses import Losses
from services.escalation.faults.merge import Merger
from services.escalation.faults.pair.link import PATH, Link
from services.escalation.faults.pair.pair import LONGEST_SILENCE, Pair
from services.escalation.faults.people import People
from services.escalation.faults.records import Audience
from services.escalation.faults.tallies import Tallies
from services.escalation.faults.unanswered import Unanswered
from services.escalation.faults.watch import Watch
from services.escalation.feed import Feed
from services.escalation.witnesses import Witnesses


class Faults:
    """The part of the escalation service that works when nothing else does."""

    def __init__(self, kernel: Kernel, feed: Feed, witnesses: Witnesses, line: DeskLine | None) -> None:
        settings, clock = kernel.settings, kernel.clock
        self._journal = Journal(settings.data_dir / "faults" / "journal.sqlite3", clock)
        channels: list[Channel] = [
            *choose(settings, clock),
            FeedChannel(kernel.database, feed, witnesses),
        ]
        if line is not None:
            channels.append(PhoneChannel(line, clock, settings.desk_phone))
        names: dict[Audience, list[str]] = {"desk": [], "supervisor": [], "drill": []}
        for channel in channels:
            names[channel.audience].append(channel.name)
        self.pair = self._pair_of(kernel)
        self.engine = Engine(
            self._journal,
            clock,
            names,
            timedelta(seconds=settings.fault_after),
            patience=_patience(settings),
            losses=Losses(kernel.database, Tallies(kernel).of),
            pair=self.pair,
        )
        self._link: Link | None = None
        if self.pair is not None:
            secret = kernel.keys.derive("escalation-peer").hex()
            self._link = Link(self.pair, self.engine, settings.escalation_peer, secret, clock)
        self._merger = Merger(self._journal, kernel.database, clock)
        self.people = People(self.engine, self._journal, clock)
        self.incidents = Incidents(self.engine, self._journal, clock)
        self.unanswered = Unanswered(self.engine, self._journal, clock)
        self.evidence = NoticeEvidence(
            self._journal, kernel.database, clock, timedelta(days=settings.drill_every_days)
        )
        self._watch = Watch(self.engine, Lookout(kernel), channels, clock, settings.desk_phone, self._link)
        self.endpoints = FaultApi(self._journal, self.people, clock, self.pair).endpoints
        self.routes = [web.get("/watchz", self._watch.watchz)]
        if self._link is not None:
            self.routes.append(web.post(PATH, self._link.answer))

    def _pair_of(self, kernel: Kernel) -> Pair | None:
        settings = kernel.settings
        if not settings.escalation_peer:
            return None
        silence = min(LONGEST_SILENCE, max(2.0, settings.fault_after))
        return Pair(settings.escalation_role, kernel.clock, silence=silence, well=self._gets_round)

    def _gets_round(self) -> bool:
        return self._watch.gets_round()

    @property
    def independent_tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs whatever else is down."""
        work = {"look": self._watch.look, "notices": self._watch.deliver}
        return work if self._link is None else work | {"peer": self._link.run}

    @property
    def tasks(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What needs the main database."""
        return {"merge": self._merger.run}

    @property
    def warnings(self) -> Mapping[str, Check]:
        """What is not well though this machine does its work."""
        return {} if self._link is None else {"peer": self._link.check}

    async def start(self) -> None:
        """Read the journal."""
        await self._watch.start()

    async def close(self) -> None:
        """Close the channels, the probes and the journal."""
        await self._watch.close()
        await self._journal.close()


def _patience(settings: Settings) -> dict[str, timedelta]:
    """Parts that may be bad for another time than `fault_after` before a fault opens."""
    # Whoever says so has already tried several times, and waited for each.
    judged = timedelta(seconds=settings.fault_after / 3)
    return {
        "operators": timedelta(seconds=settings.operators_missed_after),
        "trunk": judged,
        "registry": judged,
    }
