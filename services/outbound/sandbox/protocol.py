"""The manager protocol's text: actions in, responses and events out."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Final

MAX_LINE: Final = 1024
"""Bytes, as in Asterisk."""
MAX_HEADERS: Final = 128
Fields = Iterable[tuple[str, str]]

_NOT_IN_A_LINE: Final = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


class ProtocolError(Exception):
    """The client does not speak the manager protocol."""


class Action(dict[str, str]):
    """Headers of one action by lower-case name; a repeated header's values are joined by commas."""

    @property
    def name(self) -> str:
        """Lower-case name of the action."""
        return self.get("action", "").lower()

    @property
    def variables(self) -> Mapping[str, str]:
        """Channel variables: `Variable` headers split on commas, as Asterisk does."""
        pairs = (part.partition("=") for part in self.get("variable", "").split(","))
        return {name.strip(): value for name, _, value in pairs if name.strip()}


async def read_action(reader: asyncio.StreamReader) -> Action | None:
    """Read one action; None at the end. Raises ProtocolError for lines too long, or too many.

    The reader's own limit has to be `MAX_LINE`.
    """
    action = Action()
    for _ in range(MAX_HEADERS + 1):
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError as error:
            raise ProtocolError("a line is too long") from error
        text = line.decode("utf-8", errors="replace").rstrip("\r\n")
        if not text:
            if action:
                return action
            continue
        name, _, value = _NOT_IN_A_LINE.sub("\ufffd", text).partition(":")
        name, value = name.strip().lower(), value.strip()
        action[name] = f"{action[name]},{value}" if name in action else value
    raise ProtocolError("an action has too many headers")


def response(status: str, action: Mapping[str, str], fields: Fields = ()) -> bytes:
    """The response to `action`, which carries its ActionID."""
    return _message([("Response", status), *_action_id(action), *fields])


def event(name: str, event_class: str, fields: Fields) -> bytes:
    """An event of an Asterisk event class such as `call`."""
    return _message([("Event", name), ("Privilege", f"{event_class},all"), *fields])


def list_item(name: str, action: Mapping[str, str], fields: Fields) -> bytes:
    """An event that is part of the answer to a list action."""
    return _message([("Event", name), *_action_id(action), *fields])


def list_end(name: str, action: Mapping[str, str], count: int) -> bytes:
    """The event that ends the answer to a list action."""
    return list_item(name, action, [("EventList", "Complete"), ("ListItems", str(count))])


def _action_id(action: Mapping[str, str]) -> Fields:
    return [("ActionID", action["actionid"])] if action.get("actionid") else []


def _message(fields: Fields) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n"
