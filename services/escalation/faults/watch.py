"""The two loops: look at every part, and give the notices that are due. Each says when it last got round."""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog
from aiohttp import web

from services.common.clock import Clock
from services.escalation.faults.channels.contract import Channel, NotDelivered
from services.escalation.faults.detection.lookout import Lookout
from services.escalation.faults.engine import Engine, Outcome, Try
from services.escalation.faults.metrics import DUTIES_OWED, FAULTS_OPEN, NOTICE_TRIES
from services.escalation.faults.notices import write
from services.escalation.faults.pair.link import Link
from services.escalation.faults.parts import PARTS
from services.escalation.faults.policy import LEASE
from services.escalation.faults.records import UNKEPT

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
STUCK_SECONDS = 30.0
_IDLE_SECONDS = 1.0


class Watch:
    """Runs the engine against the real parts and channels."""

    def __init__(
        self,
        engine: Engine,
        lookout: Lookout,
        channels: Sequence[Channel],
        clock: Clock,
        desk_phone: str,
        link: Link | None = None,
    ) -> None:
        self._engine = engine
        self._lookout = lookout
        self._channels = {channel.name: channel for channel in channels}
        self._clock = clock
        self._desk_phone = desk_phone
        self._link = link
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._looked_at = self._delivered_at = clock.monotonic()
        engine.on_change(self._woken.set)

    async def start(self) -> None:
        """Read the journal and see what there is to look at; of a pair, hear first what the other one did."""
        self._lookout.start()
        before = None if self._link is None else await self._link.first()
        await self._engine.start()
        if self._link is not None:
            await self._link.take(before)

    async def look(self) -> None:
        """Look for ever."""
        while True:
            await self._engine.observe(await self._lookout.look())
            self._looked_at = self._clock.monotonic()
            self._measure()
            await self._clock.sleep(LOOK_SECONDS)

    async def deliver(self) -> None:
        """Give notices for ever."""
        try:
            while True:
                self._woken.clear()
                for one in await self._engine.due():
                    task = asyncio.create_task(self._send(one))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
                self._delivered_at = self._clock.monotonic()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await self._woken.wait()
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def close(self) -> None:
        """Tell the other machine that this one stops; close channels and probes."""
        if self._link is not None:
            await self._link.leave()
        for channel in self._channels.values():
            await channel.close()
        await self._lookout.close()

    async def watchz(self, _: web.Request) -> web.Response:
        """Say whether both loops get round; what watches this process asks here."""
        well = self.gets_round()
        shown = {name: round(age, 1) for name, age in self._ages().items()}
        body = {"status": "watching" if well else "stuck", **shown, "unsaved": self._engine.unsaved}
        return web.json_response(body, status=200 if well else 503)

    def gets_round(self) -> bool:
        """Whether both loops have got round lately."""
        return all(age <= STUCK_SECONDS for age in self._ages().values())

    def _ages(self) -> dict[str, float]:
        now = self._clock.monotonic()
        return {"looked": now - self._looked_at, "delivered": now - self._delivered_at}

    async def _send(self, one: Try) -> None:
        name = one.delivery.channel
        notice = write(one.duty, one.subject, self._desk_phone)
        if self._link is not None and one.delivery.tries == 1:
            await self._link.told()  # whatever happens to us now, the other one gives the same notice
        try:
            async with asyncio.timeout(LEASE.total_seconds()):
                by, proof = await self._channels[name].deliver(notice)
            outcome = Outcome(proof=proof, by=by)
        except NotDelivered as refusal:
            outcome = Outcome(error=str(refusal))
        except Exception as error:  # a defect of one channel must not cost the notice its next try
            log.exception("channel_failed", channel=name)
            outcome = Outcome(error=type(error).__name__)
        NOTICE_TRIES.labels(name, "delivered" if outcome.proof else "failed").inc()
        event = "notice_delivered" if outcome.proof else "notice_not_delivered"
        log.info(event, channel=name, kind=one.duty.kind, subject=one.duty.subject, error=outcome.error)
        await self._engine.settle(one, outcome)
        self._woken.set()

    def _measure(self) -> None:
        book = self._engine.book
        open_now = {fault.component for fault in book.faults.values() if fault.state == "open"}
        for name in PARTS.keys() | open_now:
            FAULTS_OPEN.labels(name).set(name in open_now)
        owed = [duty for duty in book.duties.values() if duty.audience == "desk" and duty.state in UNKEPT]
        DUTIES_OWED.set(len(owed))
