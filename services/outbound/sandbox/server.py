"""The sandbox's manager port: log-in, actions, and events to everybody who listens."""

import asyncio
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import structlog

from services.common.ami.actions import CALLER_IDS
from services.common.clock import Clock
from services.outbound.evidence.line import CallRecord, write_line
from services.outbound.sandbox.exchange import Channel, Exchange, NoSuchCall
from services.outbound.sandbox.protocol import (
    MAX_LINE,
    Action,
    Fields,
    ProtocolError,
    event,
    list_end,
    list_item,
    read_action,
    response,
)
from services.outbound.sandbox.recorder import Recorder

log = structlog.get_logger(__name__)

BANNER: Final = b"Asterisk Call Manager/11.0.0\r\n"
MAX_CLIENTS: Final = 50
LOGIN_SECONDS: Final = 30.0
MAX_UNREAD: Final = 4 * 1024 * 1024
"""Bytes a client may leave unread before it is dropped, as Asterisk drops it."""


class _Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer
        self.challenge = ""
        self.authenticated = False
        self.classes: frozenset[str] | None = None
        """Event classes it wants; None for all."""

    def write(self, data: bytes) -> None:
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD:
            log.warning("sandbox_client_dropped", reason="unread")
            self._writer.transport.abort()
        else:
            self._writer.write(data)

    def choose_events(self, mask: str) -> None:
        """Apply an event mask: `on`, `off`, or class names separated by commas."""
        match mask.lower():
            case "" | "on" | "all" | "true" | "yes":
                self.classes = None
            case "off" | "none" | "false" | "no":
                self.classes = frozenset()
            case names:
                self.classes = frozenset(name.strip() for name in names.split(","))

    def hears(self, event_class: str) -> bool:
        """Tell whether the client's mask lets events of a class through."""
        return self.classes is None or event_class in self.classes

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class SandboxPbx:
    """A PBX on a TCP port. `start()` binds it, `stop()` ends it with its calls; or use it as a context.

    Owners, and the ring-out time of an Originate, are `speed` times faster than in life. Port 0 takes a free
    one; `port` then tells which. There is an endpoint for each of `caller_ids`, as in Asterisk.
    `call_records` is the file that a line is written into for each channel.
    `desk_number` is whom `PJSIP/desk` calls: its last digit decides, too.
    """

    def __init__(
        self,
        user: str,
        secret: str,
        clock: Clock,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 10.0,
        caller_ids: tuple[str, ...] = ("0519110",),
        call_records: Path | None = None,
        spool: Path | None = None,
        desk_number: str = "051981997327",
    ) -> None:
        if not user or not secret:
            raise ValueError("the sandbox PBX needs a user and a secret")
        self._user = user
        self._secret = secret
        self._host = host
        self.port = port
        self._caller_ids = caller_ids
        self._call_records = call_records
        self._recorder = Recorder(spool) if spool else None
        self._exchange = Exchange(
            clock, speed, self._publish, self._keep, caller_ids, desk_number, self._recorder
        )
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._clients: dict[_Client, asyncio.Task[None] | None] = {}
        self._actions: dict[str, Callable[[_Client, Action], None]] = {
            "ping": self._ping,
            "events": self._events,
            "originate": self._originate,
            "hangup": self._hangup,
            "coreshowchannels": self._core_show_channels,
            "dbget": self._db_get,
            "getvar": self._getvar,
        }

    async def start(self) -> None:
        """Listen. Raises OSError when the port, or the directories of what it leaves, cannot be had."""
        if self._call_records is not None:
            self._call_records.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._recorder is not None:
            self._recorder.prepare()
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=MAX_LINE)
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("sandbox_pbx_listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        """Stop listening, drop every client and every call."""
        if self._server is None:
            return
        self._server.close()
        tasks = [task for task in self._clients.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._exchange.stop()
        await self._server.wait_closed()
        self._server = None

    @property
    def calls(self) -> int:
        """How many channels are up."""
        return len(self._exchange.channels)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _publish(self, name: str, event_class: str, fields: Fields) -> None:
        message = event(name, event_class, fields)
        for client in self._clients:
            if client.authenticated and client.hears(event_class):
                client.write(message)

    def _keep(self, record: CallRecord) -> None:
        if self._call_records is not None:
            with self._call_records.open("ab") as file:  # opened anew each time, as Asterisk does
                file.write(write_line(record))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(reader, writer)
        if len(self._clients) >= MAX_CLIENTS:
            await client.close()
            return
        self._clients[client] = asyncio.current_task()
        try:
            client.write(BANNER)
            async with asyncio.timeout(LOGIN_SECONDS):
                await self._log_in(client)
            while (action := await read_action(reader)) is not None and action.name != "logoff":
                self._act(client, action)
            if action is not None:
                client.write(response("Goodbye", action, [("Message", "Thanks for all the fish.")]))
        except (ProtocolError, TimeoutError, OSError) as error:
            log.warning("sandbox_client_dropped", reason=type(error).__name__)
        except asyncio.CancelledError:
            log.debug("sandbox_client_disconnected")  # only `stop()` cancels this task, and then waits for it
        finally:
            del self._clients[client]
            await client.close()

    async def _log_in(self, client: _Client) -> None:
        while not client.authenticated:
            action = await read_action(client.reader)
            if action is None:
                raise ConnectionResetError
            match action.name:
                case "challenge" if action.get("authtype", "").upper() == "MD5":
                    client.challenge = str(secrets.randbelow(10**9))
                    client.write(response("Success", action, [("Challenge", client.challenge)]))
                case "challenge":
                    client.write(_error(action, "Must specify AuthType"))
                case "login" if self._may_enter(client, action):
                    client.authenticated = True
                    client.choose_events(action.get("events", ""))
                    client.write(response("Success", action, [("Message", "Authentication accepted")]))
                    if client.hears("system"):
                        client.write(event("FullyBooted", "system", [("Status", "Fully Booted")]))
                case "login":
                    client.write(_error(action, "Authentication failed"))
                    raise ProtocolError("authentication failed")
                case _:
                    client.write(_error(action, "Permission denied"))

    def _may_enter(self, client: _Client, action: Action) -> bool:
        if action.get("authtype", "").upper() == "MD5":
            proof = hashlib.md5((client.challenge + self._secret).encode(), usedforsecurity=False).hexdigest()
            fits = bool(client.challenge) and hmac.compare_digest(
                proof.encode(), action.get("key", "").encode()
            )
        else:
            fits = hmac.compare_digest(self._secret.encode(), action.get("secret", "").encode())
        return fits and hmac.compare_digest(self._user.encode(), action.get("username", "").encode())

    def _act(self, client: _Client, action: Action) -> None:
        act = self._actions.get(action.name)
        if act is None:
            client.write(_error(action, "Invalid/unknown command"))
        else:
            act(client, action)

    def _ping(self, client: _Client, action: Action) -> None:
        now = f"{self._clock.now().timestamp():.6f}"
        client.write(response("Success", action, [("Ping", "Pong"), ("Timestamp", now)]))

    def _events(self, client: _Client, action: Action) -> None:
        client.choose_events(action.get("eventmask", ""))
        client.write(
            response("Success", action, [("Events", "Off" if client.classes == frozenset() else "On")])
        )

    def _originate(self, client: _Client, action: Action) -> None:
        try:
            channel = self._exchange.originate(action)
        except NoSuchCall as error:
            client.write(_error(action, str(error)))
            return
        queued = response("Success", action, [("Message", "Originate successfully queued")])
        if action.get("async", "").lower() in {"true", "yes", "1", "on"}:
            client.write(queued)
        else:
            failed = _error(action, "Originate failed")
            channel.dialled.add_done_callback(
                lambda answered: client.write(queued if answered.result() else failed)
            )

    def _hangup(self, client: _Client, action: Action) -> None:
        channel = self._exchange.find(action.get("channel", ""))
        if channel is None:
            client.write(_error(action, "No such channel"))
            return
        cause = action.get("cause", "")
        self._exchange.hangup(channel, int(cause) if re.fullmatch("[0-9]{1,3}", cause) else 16)
        client.write(response("Success", action, [("Message", "Channel Hungup")]))

    def _core_show_channels(self, client: _Client, action: Action) -> None:
        client.write(
            response("Success", action, [("EventList", "start"), ("Message", "Channels will follow")])
        )
        channels = list(self._exchange.channels.values())
        for channel in channels:
            client.write(list_item("CoreShowChannel", action, self._shown(channel)))
        client.write(list_end("CoreShowChannelsComplete", action, len(channels)))

    def _shown(self, channel: Channel) -> Fields:
        seconds = int(self._clock.monotonic() - channel.began)
        duration = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        up = channel.state == "Up"
        return [
            *channel.snapshot(),
            ("Application", "Read" if up else "AppDial2"),
            ("ApplicationData", "" if up else "(Outgoing Line)"),
            ("Duration", duration),
            ("BridgeId", ""),
        ]

    def _getvar(self, client: _Client, action: Action) -> None:
        name = action.get("variable", "")
        if not name:
            client.write(_error(action, "No variable specified"))
            return
        value = ",".join(self._caller_ids) if name == CALLER_IDS else ""
        client.write(response("Success", action, [("Variable", name), ("Value", value)]))

    def _db_get(self, client: _Client, action: Action) -> None:
        family, key = action.get("family", ""), action.get("key", "")
        value = self._exchange.results.get(key) if family == "movecar" else None
        if value is None:
            client.write(_error(action, "Database entry not found"))
            return
        client.write(response("Success", action, [("EventList", "start"), ("Message", "Result will follow")]))
        client.write(list_item("DBGetResponse", action, [("Family", family), ("Key", key), ("Val", value)]))
        client.write(list_end("DBGetComplete", action, 1))


def _error(action: Action, message: str) -> bytes:
    return response("Error", action, [("Message", message)])
