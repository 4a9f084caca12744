"""A link to Asterisk that outlives its connections: supervised, pinged, and reconnected with back-off."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from services.common.ami import actions
from services.common.ami.actions import Action
from services.common.ami.errors import AmiError, NotSent, Refused
from services.common.ami.messages import Event
from services.common.ami.session import Reply, Session
from services.common.ami.wire import Address

log = structlog.get_logger(__name__)

MAX_BACKLOG: Final = 100_000
"""Events that may wait for the consumer; half a minute of a saturated PBX."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A dead Asterisk is noticed within `ping_every + ping_deadline`."""

    connect: float = 5.0
    """For the connection, and again for the banner and the log-in."""
    ping_every: float = 5.0
    ping_deadline: float = 5.0
    first_retry: float = 0.25
    """Doubled after each failure, up to `last_retry`."""
    last_retry: float = 5.0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Logged in. What happened before was not seen: the consumer now compares its state with Asterisk's."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection is over; `reason` is a stable lowercase code."""

    reason: str


Notice = LinkUp | LinkDown | tuple[Event, ...]


class AmiLink:
    """The one way to Asterisk's manager. `run()` keeps it up; one consumer calls `take()`.

    Every connection is a fresh `Session`. An action is sent at most once, never again by the link itself.
    """

    def __init__(
        self,
        address: Address | Callable[[], Address],
        user: str,
        secret: str,
        *,
        wanted: frozenset[str],
        classes: str = actions.EVERYTHING,
        timing: Timing = Timing(),
        max_backlog: int = MAX_BACKLOG,
    ) -> None:
        self._find = address if callable(address) else lambda: address
        """Asked before each connection: a PBX of this process knows its port only once it listens."""
        self._user = user
        self._secret = secret
        self._wanted = wanted
        self._classes = classes
        """What each connection hears from its log-in on, until an `Events` action says otherwise."""
        self._timing = timing
        self._max_backlog = max_backlog
        self._session: Session | None = None
        self._notices: deque[LinkUp | LinkDown | list[Event]] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self.reason = "not_started"
        """Why the link is down; empty while it is up."""

    def __repr__(self) -> str:
        address = self._find()
        return f"<AmiLink {address.host}:{address.port} {self.reason or 'up'}>"

    @property
    def connected(self) -> bool:
        """Whether an action could be sent now."""
        return self._session is not None

    async def send(self, action: Action, seconds: float = 5.0) -> Reply:
        """Send `action` once and wait at most `seconds` for its answer.

        Raises NotSent (nothing happened), Refused (Asterisk said no) or Unknown (it may have happened).
        """
        if self._session is None:
            raise NotSent("not_connected")
        return await self._session.request(action, seconds)

    async def take(self, seconds: float | None = None) -> Notice | None:
        """Wait for the next connection, disconnection or batch of events, in order; None after `seconds`.

        For one consumer: batches grow while it is busy.
        """
        if not self._notices:
            self._arrived.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        notice = self._notices.popleft()
        if isinstance(notice, list):
            self._waiting -= len(notice)
            return tuple(notice)
        return notice

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._connection()
            except OSError:  # no socket to be had
                self.reason = "no_resources"
            if loop.time() - began > self._timing.last_retry:
                failures = 0  # only a connection that stood for a while: one that falls at once is a failure
            delay = min(self._timing.last_retry, self._timing.first_retry * 2 ** min(failures, 16))
            failures += 1
            log.warning("ami_link_down", reason=self.reason, retry_in=delay)
            await asyncio.sleep(delay)

    async def _connection(self) -> None:
        session = Session(self._find(), self._wanted, self._take, self._timing.connect)
        try:
            self.reason = await self._login(session)
            if not self.reason:
                await self._serve(session)
        except asyncio.CancelledError:
            self.reason = "stopped"
            raise
        finally:
            if self._session is not None:
                self._session = None
                self._put(LinkDown(self.reason))
            # Shielded: a connection whose thread still runs must not be forgotten.
            await asyncio.shield(session.close_politely("stopped"))
            if session.malformed:
                log.warning("ami_malformed_messages", count=session.malformed)

    async def _login(self, session: Session) -> str:
        """Log in; return why that failed, or nothing."""
        try:
            async with asyncio.timeout(3 * self._timing.connect):
                await session.login(self._user, self._secret, self._timing.connect, self._classes)
        except TimeoutError:
            return "login_timeout"
        except Refused:
            return "login_refused"
        except AmiError as error:
            return await session.wait_lost(0) or error.reason
        return ""

    async def _serve(self, session: Session) -> None:
        """Ping until the connection is over; `reason` then says why."""
        self._session = session
        self._put(LinkUp())
        session.release()
        log.info("ami_link_up", version=session.version)
        while not self.reason:
            self.reason = await session.wait_lost(self._timing.ping_every) or ""
            if not self.reason:
                try:
                    await session.request(actions.ping(), self._timing.ping_deadline)
                except AmiError:
                    self.reason = await session.wait_lost(0) or "ping_unanswered"

    def _take(self, events: list[Event]) -> None:
        if self._waiting + len(events) > self._max_backlog:
            # Better to lose the connection, and to compare states after the next, than to lose single events.
            if self._session is not None:
                self._session.close("consumer_too_slow")
            return
        self._waiting += len(events)
        if self._notices and isinstance(self._notices[-1], list):
            self._notices[-1] += events
        else:
            self._notices.append(list(events))
        self._arrived.set()

    def _put(self, notice: LinkUp | LinkDown) -> None:
        self._notices.append(notice)
        self._arrived.set()
