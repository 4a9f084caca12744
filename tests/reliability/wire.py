"""What reached the owners, by the number that was called."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from deploy.stack.sip_trace import Invite, invites, messages


@dataclass(frozen=True)
class Wire:
    """Calls that reached the owners and those that were answered, by number."""

    invites: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    calls: tuple[Invite, ...] = ()


def read_wire(trace: Path) -> Wire:
    """Read SIPp's message file. A retransmitted INVITE is the same call."""
    calls = invites(trace)
    called = {call.call_id: call.called for call in calls}
    answered = {
        "".join(message.values("Call-ID"))
        for message in messages(trace)
        if not message.received
        and message.start_line.startswith("SIP/2.0 200")
        and "INVITE" in "".join(message.values("CSeq"))
    }
    return Wire(
        Counter(called.values()), Counter(called[one] for one in answered if one in called), tuple(calls)
    )
