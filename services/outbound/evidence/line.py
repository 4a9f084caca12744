"""One line of the switch's call-record file, read and written. Pure.

    uniqueid, linkedid, channel, start, answer, end, duration, billsec, disposition, sequence

Every field is quoted. Times are seconds since 1970 with six decimals, ``0.000000`` for never; `duration` and
`billsec` are seconds with six decimals. `deploy/asterisk/templates/cdr_custom.conf` makes Asterisk write it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, cast

from services.common.ami.actions import ATTEMPT_ID

Disposition = Literal["ANSWERED", "NO ANSWER", "BUSY", "CONGESTION", "FAILED"]
"""As Asterisk gives it. Whether the phone was answered is told by `answered_at` alone: where an answered
call rings a seat in vain, Asterisk writes the seat's disposition."""

_ID: Final = r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}"
_TIME: Final = r"[0-9]{1,11}\.[0-9]{6}"
_SECONDS: Final = r"[0-9]{1,9}\.[0-9]{6}"
_FIELDS: Final[tuple[tuple[str, str], ...]] = (
    ("uniqueid", _ID),
    ("linkedid", _ID),
    ("channel", r"PJSIP/[0-9A-Za-z][0-9A-Za-z._-]{0,60}-[0-9a-f]{8,16}|other"),
    ("start", _TIME),
    ("answer", _TIME),
    ("end", _TIME),
    ("duration", _SECONDS),
    ("billsec", _SECONDS),
    ("disposition", "ANSWERED|NO ANSWER|BUSY|CONGESTION|FAILED"),
    ("sequence", "[0-9]{1,10}"),
)
_LINE: Final = re.compile(",".join(f'"(?P<{name}>{pattern})"' for name, pattern in _FIELDS))
_ATTEMPT: Final = re.compile(ATTEMPT_ID)
_ENDPOINT: Final = re.compile(r"PJSIP/(.+)-[0-9a-f]{8,16}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME: Final = datetime(2200, 1, 1, tzinfo=UTC)


class UnreadableLine(ValueError):
    """Not a line that the switch writes; the message is a code and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What the switch wrote down about one channel.

    `channel` is ``PJSIP/<endpoint>-<number>``, or ``other``; `linked_id` is the id of the channel that it
    came from, its own when it came from none. `duration` and `billed` are the switch's own figures in
    seconds: from start, and from answer, to end. One channel may have several records, told apart by
    `sequence`: a new one begins when it leaves a bridge.
    """

    unique_id: str
    linked_id: str
    channel: str
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    duration: float
    billed: float
    disposition: Disposition
    sequence: int

    @property
    def endpoint(self) -> str:
        """Which way the channel went: ``trunk-0519110``, ``seat-op1``; empty for another technology."""
        found = _ENDPOINT.fullmatch(self.channel)
        return found[1] if found else ""

    @property
    def attempt_id(self) -> str | None:
        """The attempt that the channel belongs to, or claims to: its own id, or that of its first channel."""
        return next((each for each in (self.unique_id, self.linked_id) if _ATTEMPT.fullmatch(each)), None)


def read_line(line: bytes) -> CallRecord:
    """Read a line without its end. Raises UnreadableLine."""
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise UnreadableLine("not_ascii") from None
    found = _LINE.fullmatch(text)
    if found is None:
        raise UnreadableLine("not_a_call_record")
    started, answered, ended = (_moment(found[name]) for name in ("start", "answer", "end"))
    if started is None or ended is None or not started <= (answered or started) <= ended:
        raise UnreadableLine("times_out_of_order")
    return CallRecord(
        unique_id=found["uniqueid"],
        linked_id=found["linkedid"],
        channel=found["channel"],
        started_at=started,
        answered_at=answered,
        ended_at=ended,
        duration=float(found["duration"]),
        billed=float(found["billsec"]),
        disposition=cast(Disposition, found["disposition"]),
        sequence=int(found["sequence"]),
    )


def write_line(record: CallRecord) -> bytes:
    """Return the line of a record, with its end, as Asterisk writes it."""
    fields = (
        record.unique_id,
        record.linked_id,
        record.channel,
        _seconds(record.started_at),
        _seconds(record.answered_at),
        _seconds(record.ended_at),
        f"{record.duration:.6f}",
        f"{record.billed:.6f}",
        record.disposition,
        str(record.sequence),
    )
    return (",".join(f'"{field}"' for field in fields) + "\n").encode("ascii")


def _moment(text: str) -> datetime | None:
    seconds, _, fraction = text.partition(".")
    if not int(seconds):
        return None
    moment = _EPOCH + timedelta(seconds=int(seconds), microseconds=int(fraction))
    if moment > MAX_TIME:
        raise UnreadableLine("times_out_of_order")
    return moment


def _seconds(moment: datetime | None) -> str:
    if moment is None:
        return "0.000000"
    since = moment - _EPOCH
    return f"{since.days * 86_400 + since.seconds}.{since.microseconds:06}"
