"""The worst that somebody with the product's own manager account can say about the caller's number (B1)."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from deploy.asterisk.render import CALLER_ID
from deploy.stack.asterisk import Asterisk
from deploy.stack.sip_trace import Invite
from services.common.events import AttemptOutcome
from tests.integration.telephony.calls import PlacedCall
from tests.reliability.owners import number

ANONYMOUS: Final = "Anonymous"
"""The one name that Asterisk puts beside the number in From, whatever the endpoint says, when an Originate's
variables forbid the presentation. The number stays, there and in P-Asserted-Identity."""
_PLAYED: Final[tuple[AttemptOutcome, ...]] = ("busy", "hung_up", "declined")

DISGUISES: Final[tuple[dict[str, str], ...]] = (
    {"CallerID": '"110" <110>'},
    {"CallerID": '"公安局" <13800000000>'},
    {"CallerID": "<>"},
    {"CallerID": '"0519110" <sip:110@police.example>'},
    {"CallerID": "Anonymous <anonymous>"},
    {"Variable": "CALLERID(all)=110"},
    {"Variable": "CALLERID(num)=110,CALLERID(name)=110,CALLERID(ani)=110,CALLERID(rdnis)=110"},
    {"Variable": "CALLERID(pres)=prohib,CALLERID(num-pres)=prohib,CALLERID(name-pres)=prohib"},
    {"Variable": "CONNECTEDLINE(num)=110,CONNECTEDLINE(name)=110"},
    {"Variable": "CONNECTEDLINE(priv-num)=110,CONNECTEDLINE(priv-name)=110"},
    {"Variable": "CONNECTEDLINE(priv-num-pres)=prohib,CONNECTEDLINE(num-pres)=prohib"},
    {"Variable": "REDIRECTING(from-num)=110,REDIRECTING(orig-num)=110"},
    {"Variable": "PJSIP_HEADER(add,P-Asserted-Identity)=<sip:110@police>"},
    {"Variable": "PJSIP_HEADER(add,Remote-Party-ID)=<sip:110@police>,PJSIP_HEADER(add,Privacy)=id"},
    {"Variable": "PJSIP_HEADER(update,From)=<sip:110@police>"},
    {"CallerID": '"110" <110>', "Variable": "CALLERID(all)=110,CALLERID(pres)=prohib"},
)


def attack(switch: Asterisk, serials: Sequence[int]) -> int:
    """Place a call for each serial, in every disguise in turn; return how many the switch took on."""
    taken = 0
    with switch.connect(deadline=60) as probe:
        for serial, disguise in zip(serials, itertools.cycle(DISGUISES), strict=False):
            attempt, fields = _originate(number(_PLAYED[serial % len(_PLAYED)], serial), disguise)
            if probe.ask(*fields)["Response"] == "Success":
                taken += 1
                probe.until(
                    lambda event, attempt=attempt: (  # type: ignore[misc]
                        event.get("Event") == "Hangup" and event.get("Uniqueid") == attempt
                    )
                )
    return taken


def _originate(called: str, disguise: dict[str, str]) -> tuple[str, list[tuple[str, str]]]:
    """The product's own Originate, with what the attacker puts in place of its values, or behind them."""
    call = PlacedCall(called)
    fields = dict(line.split(": ", 1) for line in call.wire().decode("ascii").strip().split("\r\n"))
    for name, value in disguise.items():
        fields[name] = f"{fields[name]},{value}" if name == "Variable" else value
    return call.attempt, list(fields.items())


def shown_otherwise(calls: Sequence[Invite], number: str = CALLER_ID) -> list[str]:
    """Calls that show any other number than this, or hide it; empty when all is well."""
    return [f"{call.call_id}: {sorted(shown)}" for call in calls if (shown := set(_shown(call))) != {number}]


def anonymous(calls: Sequence[Invite]) -> int:
    """Calls with that name beside the number."""
    return sum(f'"{ANONYMOUS}"' in value for call in calls for value in call.text.values("From"))


def _shown(call: Invite) -> Iterator[str]:
    yield call.caller
    yield call.asserted
    yield from call.identities
    for value in (*call.text.values("From"), *call.text.values("P-Asserted-Identity")):
        yield from (name for name in re.findall(r'"([^"]*)"', value) if name != ANONYMOUS)
    for name in ("Privacy", "Remote-Party-ID", "Diversion", "P-Preferred-Identity"):
        yield from (f"{name}: {value}" for value in call.text.values(name))
