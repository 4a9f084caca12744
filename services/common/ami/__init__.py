"""Asterisk's manager interface. The only package that touches asterisk-ami, and the reasons why.

asterisk-ami 0.1.7 parses well and is unsafe as a client: its reader dies of three seconds of silence or of an
exception in a callback, values can inject actions, sends are cut and interleaved, its reconnection reconnects
nothing, its parsers take U+2028 for a line end, and it prints secrets. Its messages are used here, under our
own connection, supervision and checks:

- `actions`: what can be said, and nothing else;
- `messages`: bytes to responses and events;
- `wire`: one socket and its thread;
- `session`: one connection, its actions and answers;
- `link`: what the product talks to.
"""

from services.common.ami.errors import AmiError, NotSent, Refused, Unknown, UnsafeValue
from services.common.ami.link import AmiLink, LinkDown, LinkUp, Notice, Timing
from services.common.ami.messages import Event, Response
from services.common.ami.session import Reply
from services.common.ami.wire import Address

__all__ = [
    "Address",
    "AmiError",
    "AmiLink",
    "Event",
    "LinkDown",
    "LinkUp",
    "NotSent",
    "Notice",
    "Refused",
    "Reply",
    "Response",
    "Timing",
    "Unknown",
    "UnsafeValue",
]
