"""The only actions this product can express, built from values that match a closed pattern each (B1, B4).

Neither `Application` nor `Data` can be expressed (with them, the `originate` privilege is shell access:
CVE-2024-42365), and no value can hold a control character, a separator or an expression, because every
pattern lists what is allowed. asterisk-ami's own class writes the text, once the values are known to be safe.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import asterisk.ami

from services.common.ami.errors import UnsafeValue

TRUNK: Final = "[a-z][a-z0-9]{0,19}"
"""Name of a trunk."""
ONE_TRUNK: Final = "trunk"
"""Name of the trunk where there is only one."""
CALLER_IDS: Final = "MOVECAR_CALLER_IDS"
"""The switch's global with the caller IDs that it has endpoints for, separated by commas."""
NOTICE_CONTEXT: Final = "movecar-notice"
RESULT_FAMILY: Final = "movecar"
"""AstDB family in which the dialplan leaves the results of answered calls."""

ATTEMPT_ID: Final = r"[0-9a-f]{32}"
CALLEE: Final = (
    r"(?:1[3-9][0-9]{9}"  # mobile
    r"|0(?:10|2[0-9])[2-8][0-9]{7}"  # fixed, two- or three-digit area code
    r"|0[3-9][0-9]{2}[2-8][0-9]{6,7})"  # fixed, four-digit area code
)
"""Who may be called: the last line of defence. No 00…, 400, 95xxx, 110/119/120, nor 0519110 itself."""
CALLER_ID: Final = r"[0-9]{3,12}"
SCRIPT: Final = r"[1-9][0-9]{0,3}"
"""Number of a call script: it says which greeting is played (B3)."""
SPEAK: Final = r"[a-z0-9]{1,8}(?:-[a-z0-9]{1,8}){0,9}"
DESK_CONTEXT: Final = "movecar-desk"
DESK_CALLER_ID: Final = r"[0-9]{3,12}"
SAY: Final = r"[a-z0-9_-]{1,32}(?:\.[a-z0-9_-]{1,32}){0,39}"
"""Names of prompts, in the order they are said."""
MODE: Final = "(?:notice|bridge)"
EVERYTHING: Final = "system,call,user"
"""Event classes of a connection that follows calls."""
LITTLE: Final = "system"
"""Event classes of one that has no call under way: nothing but whether the switch is there."""
SEAT: Final = "[a-z0-9]{1,20}"
"""An operator's seat: the part of its endpoint's name after `seat-` (B7)."""


@dataclass(frozen=True, slots=True)
class _Rule:
    fields: Mapping[str, str]
    """Field name → pattern its whole value must match. Exactly these fields, no others."""
    items: str = ""
    """Name of the events that carry a list action's answer."""
    end: str = ""
    """Name of the event that ends the list."""
    sent_as: str = ""
    """Asterisk's name of the action, where this table has several forms of it."""


_RULES: Final[Mapping[str, _Rule]] = MappingProxyType(
    {
        "Challenge": _Rule({"AuthType": "MD5"}),
        "Login": _Rule(
            {
                "AuthType": "MD5",
                "Username": r"[A-Za-z0-9_.-]{1,64}",
                "Key": r"[0-9a-f]{32}",
                "Events": f"(?:{EVERYTHING}|{LITTLE})",
            }
        ),
        "Events": _Rule({"EventMask": f"(?:{EVERYTHING}|{LITTLE})"}),
        "Logoff": _Rule({}),
        "Ping": _Rule({}),
        "Originate": _Rule(
            {
                "Channel": rf"PJSIP/{CALLEE}@{TRUNK}-{CALLER_ID}",
                "Context": NOTICE_CONTEXT,
                "Exten": "s",
                "Priority": "1",
                "CallerID": rf'"(?P<name>{CALLER_ID})" <(?P=name)>',
                "Timeout": r"(?:[1-9][0-9]{3,4}|[12][0-9]{5}|300000)",
                "Async": "true",
                "ChannelId": ATTEMPT_ID,
                "Variable": rf"MOVECAR_ATTEMPT={ATTEMPT_ID},MOVECAR_SPEAK={SPEAK},MOVECAR_SCRIPT={SCRIPT}"
                rf",MOVECAR_MODE={MODE},MOVECAR_SEAT=(?:{SEAT})?",
            }
        ),
        # The desk's line: its number is the endpoint's own, so that the product can call no other this way.
        "OriginateDesk": _Rule(
            {
                "Channel": "PJSIP/desk",
                "Context": DESK_CONTEXT,
                "Exten": "s",
                "Priority": "1",
                "CallerID": rf'"(?P<name>{DESK_CALLER_ID})" <(?P=name)>',
                "Timeout": r"(?:[1-9][0-9]{3,4}|[12][0-9]{5}|300000)",
                "Async": "true",
                "ChannelId": ATTEMPT_ID,
                "Variable": rf"MOVECAR_DESK_CALL={ATTEMPT_ID},MOVECAR_SAY={SAY}"
                rf"(?:,MOVECAR_JOIN={ATTEMPT_ID})?",
            },
            sent_as="Originate",
        ),
        "Hangup": _Rule({"Channel": ATTEMPT_ID, "Cause": "16"}),
        "CoreShowChannels": _Rule({}, "CoreShowChannel", "CoreShowChannelsComplete"),
        "Getvar": _Rule({"Variable": CALLER_IDS}),
        "DBGet": _Rule({"Family": RESULT_FAMILY, "Key": ATTEMPT_ID}, "DBGetResponse", "DBGetComplete"),
    }
)

LIST_EVENTS: Final = frozenset(name for rule in _RULES.values() for name in (rule.items, rule.end) if name)


@dataclass(frozen=True, repr=False)
class Action:
    """One AMI action, checked when it is made. Raises UnsafeValue for anything outside the closed rules.

    `action_id` is a random UUID unless the caller has one that is unique for ever. Neither `str` nor `repr`
    shows values: they hold phone numbers and log-in keys.
    """

    name: str
    fields: Mapping[str, str] = field(default_factory=dict)
    action_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        rule = _RULES.get(self.name)
        if rule is None:
            raise UnsafeValue("not an action this product uses")
        if self.fields.keys() != rule.fields.keys():
            raise UnsafeValue(f"{self.name}: fields are not exactly those known")
        for name, pattern in rule.fields.items():
            if not re.fullmatch(pattern, self.fields[name]):
                raise UnsafeValue(f"{self.name}: {name} has a form that is not allowed")
        if not re.fullmatch(ATTEMPT_ID, self.action_id):
            raise UnsafeValue(f"{self.name}: ActionID has a form that is not allowed")
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))

    def __repr__(self) -> str:
        return f"<Action {self.name} {self.action_id}>"

    @property
    def items(self) -> str:
        """Name of the events that carry this action's answer; empty when the response is all of it."""
        return _RULES[self.name].items

    @property
    def end(self) -> str:
        """Name of the event after which a list answer is complete; empty when the response is all of it."""
        return _RULES[self.name].end

    def wire(self) -> bytes:
        """The bytes of the action as they are sent, blank line included."""
        name = _RULES[self.name].sent_as or self.name
        text = str(asterisk.ami.Action(name, {"ActionID": self.action_id, **self.fields}))
        return (text + "\r\n").encode("ascii")


def challenge() -> Action:
    """Ask for the random number that the log-in key is computed from."""
    return Action("Challenge", {"AuthType": "MD5"})


def login(user: str, secret: str, challenge_text: str, classes: str = EVERYTHING) -> Action:
    """Log in for event classes. The secret itself is never sent, only its hash with the challenge."""
    if not re.fullmatch(r"[0-9A-Za-z]{1,64}", challenge_text):
        raise UnsafeValue("Login: challenge has a form that is not allowed")
    key = hashlib.md5((challenge_text + secret).encode(), usedforsecurity=False).hexdigest()
    return Action("Login", {"AuthType": "MD5", "Username": user, "Key": key, "Events": classes})


def events(classes: str) -> Action:
    """Say which event classes this connection is to hear from now on: EVERYTHING or LITTLE."""
    return Action("Events", {"EventMask": classes})


def ping() -> Action:
    """Ask for a sign of life."""
    return Action("Ping")


def logoff() -> Action:
    """Say goodbye."""
    return Action("Logoff")


def originate(
    *,
    attempt_id: str,
    callee: str,
    caller_id: str,
    script: int,
    speak: str,
    ring_seconds: float,
    mode: str = "notice",
    seat: str = "",
    trunk: str = ONE_TRUNK,
) -> Action:
    """Ring `callee` for at most `ring_seconds` (1–300), then run the notice dialplan if answered (B1, B2).

    The endpoint is that of `caller_id`, and forces it on the wire whatever the action's CallerID says (B1).
    `script` (1–9999) says which greeting is played (B3). In `mode` bridge the owner is connected to `seat`
    after the greeting, otherwise by key 0; without a seat to nobody (B7).
    The attempt's id is the channel's id and the ActionID as well: it is a UUID used for one call only, so
    every later event of the call can be told apart without any memory of the action.
    """
    return Action(
        "Originate",
        {
            "Channel": f"PJSIP/{callee}@{trunk}-{caller_id}",
            "Context": NOTICE_CONTEXT,
            "Exten": "s",
            "Priority": "1",
            "CallerID": f'"{caller_id}" <{caller_id}>',
            "Timeout": str(round(ring_seconds * 1000)),
            "Async": "true",
            "ChannelId": attempt_id,
            "Variable": f"MOVECAR_ATTEMPT={attempt_id},MOVECAR_SPEAK={speak},MOVECAR_SCRIPT={script}"
            f",MOVECAR_MODE={mode},MOVECAR_SEAT={seat}",
        },
        action_id=attempt_id,
    )


def originate_desk(*, call_id: str, caller_id: str, say: str, ring_seconds: float, joins: str = "") -> Action:
    """Ring the desk's line, say the prompts `say` (names joined by dots) and take a key (C3).

    With `joins`, an attempt's id, whoever confirms is put into that attempt's conversation.
    """
    join = f",MOVECAR_JOIN={joins}" if joins else ""
    return Action(
        "OriginateDesk",
        {
            "Channel": "PJSIP/desk",
            "Context": DESK_CONTEXT,
            "Exten": "s",
            "Priority": "1",
            "CallerID": f'"{caller_id}" <{caller_id}>',
            "Timeout": str(round(ring_seconds * 1000)),
            "Async": "true",
            "ChannelId": call_id,
            "Variable": f"MOVECAR_DESK_CALL={call_id},MOVECAR_SAY={say}{join}",
        },
        action_id=call_id,
    )


def hangup(attempt_id: str) -> Action:
    """Hang the attempt's channel up with cause 16; Asterisk finds a channel by id as well as by name."""
    return Action("Hangup", {"Channel": attempt_id, "Cause": "16"})


def caller_ids() -> Action:
    """Ask which caller IDs the switch has endpoints for (B1)."""
    return Action("Getvar", {"Variable": CALLER_IDS})


def core_show_channels() -> Action:
    """List the channels that are up."""
    return Action("CoreShowChannels")


def db_get(attempt_id: str) -> Action:
    """Read what the dialplan left about an attempt."""
    return Action("DBGet", {"Family": RESULT_FAMILY, "Key": attempt_id})
