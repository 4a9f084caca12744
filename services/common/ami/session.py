"""One logged-in connection as the event loop sees it: actions and their answers, and a stream of events."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from services.common.ami import actions
from services.common.ami.actions import LIST_EVENTS, Action
from services.common.ami.errors import NotSent, Refused, Unknown, UnsafeValue
from services.common.ami.messages import Event, Response
from services.common.ami.wire import Address, Banner, Item, Lost, Wire

log = structlog.get_logger(__name__)

MAX_LIST: Final = 20_000
"""Events one list action may be answered with; more channels than that are not Asterisk's."""
_MAX_MESSAGE: Final = 200
_BOOTED: Final = "FullyBooted"


@dataclass(frozen=True, slots=True)
class Reply:
    """Asterisk's answer to an action that it carried out; `events` is the answer of a list action."""

    response: Response
    events: tuple[Event, ...] = ()


@dataclass(slots=True)
class _Pending:
    action: Action
    answer: asyncio.Future[Reply]
    response: Response | None = None
    events: list[Event] = field(default_factory=list)


class _Handover:
    """Passes items from a thread to the event loop, with at most one wake-up under way at a time."""

    def __init__(self, receive: Callable[[list[Item]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._lock = threading.Lock()
        self._items: list[Item] = []

    def put(self, items: list[Item]) -> None:
        """Called in the thread; never raises, so that nothing in the event loop can end the thread."""
        with self._lock:
            idle = not self._items
            self._items += items
        if idle:
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop was closed without closing the session: nobody is left to tell
                log.warning("ami_event_loop_gone")

    def _drain(self) -> None:
        with self._lock:
            items, self._items = self._items, []
        self._receive(items)


class Session:
    """A connection from its first byte to its last; never reused.

    `on_events` gets batches of wanted events, in the event loop, from `release()` on.
    """

    def __init__(
        self,
        address: Address,
        wanted: frozenset[str],
        on_events: Callable[[list[Event]], None],
        connect_seconds: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._on_events = on_events
        self._wire = Wire(
            address, wanted | LIST_EVENTS | {_BOOTED}, _Handover(self._receive).put, connect_seconds
        )
        self._wanted = wanted
        self._banner: asyncio.Future[str] = loop.create_future()
        self._booted = asyncio.Event()
        self._lost: asyncio.Future[str] = loop.create_future()
        self._pending: dict[str, _Pending] = {}
        self._held: list[Event] | None = []
        self.version = ""
        """Of the manager protocol, as the banner gave it."""
        self._wire.start()

    async def login(self, user: str, secret: str, seconds: float, classes: str = actions.EVERYTHING) -> None:
        """Wait for the banner, then log in by challenge, so that the secret never crosses the wire.

        A starting Asterisk accepts log-ins before it knows its dialplan, so the log-in is over only when it
        says that it is fully booted. Each answer may take `seconds`. Raises NotSent when there is no
        connection, the challenge is unfit or Asterisk does not come up in time, Refused when the log-in is
        not accepted, Unknown when there is no answer.
        """
        await asyncio.wait((self._banner, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not self._banner.done():
            raise NotSent(self._lost.result())
        self.version = self._banner.result()
        answer = await self.request(actions.challenge(), seconds)
        try:
            login = actions.login(user, secret, answer.response.fields.get("Challenge", ""), classes)
        except UnsafeValue as error:
            raise NotSent("login_not_possible") from error
        await self.request(login, seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._booted.wait()
        except TimeoutError:
            raise NotSent("not_fully_booted") from None

    async def request(self, action: Action, seconds: float) -> Reply:
        """Send `action` and wait at most `seconds` for its answer. Raises NotSent, Refused or Unknown.

        An action that is still queued when the time is up, or when the caller is cancelled, is never sent.
        """
        pending = _Pending(action, asyncio.get_running_loop().create_future())
        if action.action_id in self._pending:
            raise NotSent("already_under_way")
        if self._lost.done() or not self._wire.send(action.action_id, action.wire()):
            raise NotSent("not_connected")
        self._pending[action.action_id] = pending
        try:
            # Not asyncio.timeout: it can lose an answer that comes in the very moment the time is up.
            await asyncio.wait((pending.answer,), timeout=seconds)
        except asyncio.CancelledError:
            self._wire.withdraw(action.action_id)
            raise
        finally:
            del self._pending[action.action_id]
        if pending.answer.done():
            return pending.answer.result()
        if self._wire.withdraw(action.action_id):
            raise NotSent("not_sent_in_time")
        raise Unknown("no_answer_in_time")

    def release(self) -> None:
        """Let events through, first those that came since the log-in."""
        held, self._held = self._held, None
        if held:
            self._on_events(held)

    async def wait_lost(self, seconds: float | None = None) -> str | None:
        """Wait until the connection is over and return why; None when it still stands after `seconds`."""
        await asyncio.wait((self._lost,), timeout=seconds)
        return self._lost.result() if self._lost.done() else None

    def close(self, reason: str) -> None:
        """End the connection; `wait_lost` tells when it is over."""
        self._wire.close(reason)

    async def close_politely(self, reason: str) -> None:
        """Log off as far as that takes no waiting, end the connection, and wait until its thread is done."""
        goodbye = actions.logoff()
        self._wire.send(goodbye.action_id, goodbye.wire())
        self._wire.close(reason)
        await self.wait_lost()

    @property
    def malformed(self) -> int:
        """Messages that could not be read so far."""
        return self._wire.malformed

    def _receive(self, items: list[Item]) -> None:
        events: list[Event] = []
        for item in items:
            match item:
                case Event():
                    if item.name == _BOOTED:
                        self._booted.set()
                    elif item.name not in LIST_EVENTS or not self._is_list_item(item):
                        events.append(item)
                case Response():
                    self._answered(item)
                case Banner():
                    self._banner.set_result(item.version)
                case Lost():
                    self._over(item)
        if events:
            self._pass_on(events)

    def _pass_on(self, events: list[Event]) -> None:
        wanted = [event for event in events if event.name in self._wanted]
        if self._held is None:
            self._on_events(wanted)
        else:
            self._held += wanted
            if len(self._held) > MAX_LIST:
                self._held = []
                self.close("flooded_before_login")

    def _answered(self, response: Response) -> None:
        pending = self._pending.get(response.fields.get("ActionID", ""))
        if pending is None or pending.answer.done():
            return
        match response.status.lower():
            case "error":
                text = response.fields.get("Message", "")
                pending.answer.set_exception(Refused(text[:_MAX_MESSAGE]))
            case "success" if pending.action.end:
                pending.response = response
            case "success" | "goodbye":
                pending.answer.set_result(Reply(response))
            case _:
                pending.answer.set_exception(Unknown("unknown_response"))

    def _is_list_item(self, event: Event) -> bool:
        pending = self._pending.get(event.fields.get("ActionID", ""))
        if pending is None or pending.response is None or pending.answer.done():
            return False
        if event.name == pending.action.end:
            pending.answer.set_result(Reply(pending.response, tuple(pending.events)))
        elif event.name == pending.action.items:
            pending.events.append(event)
            if len(pending.events) > MAX_LIST:
                self.close("endless_list")
        else:
            return False
        return True

    def _over(self, lost: Lost) -> None:
        self._lost.set_result(lost.reason)
        for action_id, pending in self._pending.items():
            if not pending.answer.done():
                failure = NotSent if action_id in lost.unsent else Unknown
                pending.answer.set_exception(failure("connection_lost"))
