"""Bytes from Asterisk → responses and events, read by asterisk-ami's parsers once its traps are taken out.

The library cuts lines with `splitlines()`, so U+2028, U+0085 or a lone CR inside a value (a caller's name,
say) would forge a header. Such characters are replaced before the parsers see the text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import asterisk.ami

MAX_MESSAGE: Final = 64 * 1024
"""Bytes. Asterisk's longest event is a few kilobytes; what is longer is not Asterisk."""
_END: Final = b"\r\n\r\n"
_STRAY_LINE_END: Final = re.compile("[\v\f\x1c\x1d\x1e\x85\u2028\u2029]|\r(?!\n)|(?<!\r)\n")


class Oversized(Exception):
    """The peer sent more than `MAX_MESSAGE` bytes without ending the message."""


class Malformed(Exception):
    """A message that the parsers cannot read."""


@dataclass(frozen=True, slots=True)
class Response:
    """What Asterisk answered to an action."""

    status: str
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in Asterisk. Fields are not shown: they hold phone numbers."""

    name: str
    fields: Mapping[str, str] = field(repr=False)


class Splitter:
    """Cuts the stream into messages, in memory bounded by `MAX_MESSAGE` and one read."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes. Raises Oversized."""
        *messages, self._rest = (self._rest + data).split(_END)
        if len(self._rest) > MAX_MESSAGE or any(len(message) > MAX_MESSAGE for message in messages):
            raise Oversized
        return messages


def read(message: bytes, wanted: frozenset[bytes]) -> Response | Event | None:
    """Parse one message; None for an event whose name is not in `wanted`, which costs next to nothing.

    Raises Malformed for what is neither a response nor an event.
    """
    head, _, _ = message.partition(b"\r\n")
    kind, _, value = head.partition(b":")
    kind = kind.lower()
    if kind == b"event":
        if value.strip() not in wanted:
            return None
        return _event(_text(message))
    if kind == b"response":
        return _response(_text(message))
    raise Malformed


def _text(message: bytes) -> str:
    text = message.decode("utf-8", errors="replace")
    # Almost no message has a stray line end, and counting is ten times cheaper than searching. The last
    # character is there because `splitlines` does not count a line end at the end.
    if len(f"{text}.".splitlines()) == message.count(b"\r\n") + 1:
        return text
    return _STRAY_LINE_END.sub("\ufffd", text)


def _event(text: str) -> Event:
    try:
        parsed = asterisk.ami.Event.read(text)
    except Exception as error:  # the library raises bare Exception and ValueError alike
        raise Malformed from error
    return Event(
        parsed.name.strip(), {key: value for key, value in parsed.keys.items() if isinstance(value, str)}
    )


def _response(text: str) -> Response:
    try:
        parsed = asterisk.ami.Response.read(text)
    except Exception as error:
        raise Malformed from error
    return Response(parsed.status, parsed.keys)
