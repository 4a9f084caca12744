"""Reading SIPp's message file: the proof of what was on the wire."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_BLOCK = re.compile(r"^-{20,} (?P<at>\S+ \S+)\n\w+ message (?P<way>received|sent) .*:\n\n", re.MULTILINE)


@dataclass(frozen=True)
class SipMessage:
    """One message. `headers` keep their order and are never merged; names are as sent."""

    at: datetime
    received: bool
    start_line: str
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """Values of all headers of this name, in any spelling of upper and lower case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True)
class Invite:
    """The first INVITE of one call, as the called side received it (B1)."""

    at: datetime
    call_id: str
    called: str
    caller: str
    asserted: str
    text: SipMessage

    @property
    def identities(self) -> set[str]:
        """Every user part that could be shown to the owner as the caller's number."""
        names = (
            "From",
            "P-Asserted-Identity",
            "P-Preferred-Identity",
            "Remote-Party-ID",
            "Contact",
            "Diversion",
        )
        return {_user(value) for name in names for value in self.text.values(name)}


def messages(path: Path) -> Iterator[SipMessage]:
    """Messages in the order they were written; a file that is not there yet has none.

    Times are the local time of this machine, without a zone, as SIPp writes them.
    """
    text = path.read_text("utf-8", "replace").replace("\r\n", "\n") if path.exists() else ""
    starts = list(_BLOCK.finditer(text))
    ends = [found.start() for found in starts[1:]] + [len(text)]
    for found, end in zip(starts, ends, strict=False):
        head = text[found.end() : end].partition("\n\n")[0].splitlines()
        if head:
            pairs = (line.partition(":")[::2] for line in head[1:] if ":" in line)
            headers = tuple((name.strip(), value.strip()) for name, value in pairs)
            at = datetime.fromisoformat(found["at"])
            yield SipMessage(at, found["way"] == "received", head[0], headers)


def invites(path: Path) -> list[Invite]:
    """The calls that arrived, one for each Call-ID."""
    calls: dict[str, Invite] = {}
    for message in messages(path):
        if not (message.received and message.start_line.startswith("INVITE ")):
            continue
        call_id = "".join(message.values("Call-ID"))
        calls.setdefault(
            call_id,
            Invite(
                at=message.at,
                call_id=call_id,
                called=_user(message.start_line.split()[1]),
                caller=_user("".join(message.values("From"))),
                asserted=_user("".join(message.values("P-Asserted-Identity"))),
                text=message,
            ),
        )
    return list(calls.values())


def _user(value: str) -> str:
    """User part of the SIP URI in a header's value, empty when there is none."""
    found = re.search(r"sips?:([^@>;\s]*)@", value)
    return found[1] if found else ""
