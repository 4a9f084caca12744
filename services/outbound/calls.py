"""What a call's events mean: AMI fields → facts → the attempt's outcome (B5, B6). Pure; tables decide."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from services.common.ami.actions import ATTEMPT_ID, CALLER_ID, TRUNK
from services.common.events import AttemptOutcome
from services.outbound.verdicts import is_refusal


@dataclass(frozen=True, slots=True)
class Ringing:
    """The owner's phone rings."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The owner answered."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class GreetingStarted:
    """The greeting and the menu begin, for the first or the second time (B2)."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class GreetingEnded:
    """The greeting and the menu were heard to the end."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The owner pressed `key`, one of `0-9*#`."""

    attempt_id: str
    key: str


@dataclass(frozen=True, slots=True)
class PromptFailed:
    """A prompt could not be played: a fault of ours, not the owner's silence."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class SeatRinging:
    """The operator's seat is rung (B7)."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class SeatConnected:
    """The owner and the operator's seat hear each other (B7)."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class SeatUnavailable:
    """The seat cannot be had: absent, busy, declining or not answering in time. The call goes on without."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class SeatLeft:
    """The seat hung up; the owner is thanked."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The channel is gone; `cause` is the Q.850 hang-up cause (0 when the far end gave none).

    `status` is the final SIP status that Asterisk gives for it; None when it gives none.
    """

    attempt_id: str
    cause: int
    status: int | None = None


@dataclass(frozen=True, slots=True)
class OriginateFailed:
    """Asterisk gave the call up before it was answered, and no `Ended` told why; `reason` is coarse."""

    attempt_id: str
    reason: int


SeatEvent = SeatRinging | SeatConnected | SeatUnavailable | SeatLeft
CallEvent = (
    Ringing
    | Answered
    | GreetingStarted
    | GreetingEnded
    | KeyPressed
    | PromptFailed
    | SeatEvent
    | Ended
    | OriginateFailed
)


@dataclass(frozen=True, slots=True)
class TrunkSeen:
    """Asterisk says how it stands with a trunk.

    `reason`: `unreachable` (no answer to OPTIONS) or `unregistered` (its registrar does not take us).
    """

    trunk: str
    reason: str
    well: bool


EVENT_NAMES: Final = frozenset(
    {"Newstate", "DialState", "Hangup", "OriginateResponse", "UserEvent", "ContactStatus", "Registry"}
)
"""The AMI events that calls and trunks are followed by."""


class HostileEvent(ValueError):
    """An event of ours with a value that Asterisk and the dialplan never send; names the field, no value."""


_ATTEMPT_ID: Final = re.compile(ATTEMPT_ID)
_ENDPOINT: Final = re.compile(f"(?P<trunk>{TRUNK})-{CALLER_ID}")
_NUMBER: Final = re.compile("[0-9]{1,3}")
_STATUS: Final = re.compile("[3-6][0-9]{2}")
_STATES: Final[Mapping[str, type[Ringing | Answered]]] = MappingProxyType({"5": Ringing, "6": Answered})
_PHASES: Final[Mapping[str, type[GreetingStarted | GreetingEnded]]] = MappingProxyType(
    {"start": GreetingStarted, "end": GreetingEnded}
)
_SEAT_PHASES: Final[Mapping[str, type[SeatEvent]]] = MappingProxyType(
    {
        "ringing": SeatRinging,
        "connected": SeatConnected,
        "unavailable": SeatUnavailable,
        "left": SeatLeft,
    }
)
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_CONTACTS: Final[Mapping[str, bool]] = MappingProxyType({"Reachable": True, "Unreachable": False})


def read_event(name: str, fields: Mapping[str, str]) -> CallEvent | None:
    """Return what an AMI event means for one of our calls; None when it means nothing or is not about one.

    Raises HostileEvent for a forged or broken event of ours, which is to be counted and left out.
    """
    match name:
        case "Newstate" if _is_ours(fields):
            state = _STATES.get(fields.get("ChannelState", ""))
            return state(fields["Uniqueid"]) if state else None
        case "DialState" if _ATTEMPT_ID.fullmatch(fields.get("DestUniqueid", "")):
            # 183: a network that plays its own ringing tone says nothing else.
            return Ringing(fields["DestUniqueid"]) if fields.get("DialStatus") == "PROGRESS" else None
        case "Hangup" if _is_ours(fields):
            status = fields.get("TechCause", "")
            return Ended(
                fields["Uniqueid"],
                _number(fields, "Cause"),
                int(status) if _STATUS.fullmatch(status) else None,
            )
        case "OriginateResponse":
            # Our originates' ActionID is the attempt's id; Uniqueid may be "<unknown>" without a channel.
            attempt_id = fields.get("ActionID", "")
            if not _ATTEMPT_ID.fullmatch(attempt_id) or fields.get("Response") != "Failure":
                return None
            return OriginateFailed(attempt_id, _number(fields, "Reason"))
        case "UserEvent":
            return _user_event(fields)
        case _:
            return None


def read_trunk(
    name: str, fields: Mapping[str, str], registered: Mapping[str, str] = _NOTHING
) -> TrunkSeen | None:
    """Return what an AMI event says of a trunk; None when it says nothing of one.

    `registered`: the address that is registered for a trunk → the trunk's name.
    """
    match name:
        case "ContactStatus":
            well = _CONTACTS.get(fields.get("ContactStatus", ""))
            # no match: that of a seat, or of the desk's line
            endpoint = _ENDPOINT.fullmatch(fields.get("AOR", ""))
            if well is None or endpoint is None:
                return None
            return TrunkSeen(endpoint["trunk"], "unreachable", well)
        case "Registry" if fields.get("Username", "") in registered:
            # Whatever else it is (rejected, stopped, not yet), calls that need it will be refused.
            well = fields.get("Status", "") == "Registered"
            return TrunkSeen(registered[fields["Username"]], "unregistered", well)
        case _:
            return None


def _is_ours(fields: Mapping[str, str]) -> bool:
    return _ATTEMPT_ID.fullmatch(fields.get("Uniqueid", "")) is not None


def _number(fields: Mapping[str, str], name: str) -> int:
    if not _NUMBER.fullmatch(fields.get(name, "")):
        raise HostileEvent(name)
    return int(fields[name])


def _user_event(fields: Mapping[str, str]) -> CallEvent | None:
    kind = fields.get("UserEvent", "")
    if not kind.startswith("Movecar"):
        return None
    attempt_id = fields.get("AttemptId", "")
    if not _ATTEMPT_ID.fullmatch(attempt_id):
        raise HostileEvent("AttemptId")
    match kind:
        case "MovecarGreeting":
            phase = _PHASES.get(fields.get("Phase", ""))
            if phase is None:
                raise HostileEvent("Phase")
            return phase(attempt_id)
        case "MovecarKey":
            key = fields.get("Key", "")
            if not re.fullmatch("[0-9*#]", key):
                raise HostileEvent("Key")
            return KeyPressed(attempt_id, key)
        case "MovecarPromptFailed":
            return PromptFailed(attempt_id)
        case "MovecarSeat":
            seat_event = _SEAT_PHASES.get(fields.get("Phase", ""))
            if seat_event is None:
                raise HostileEvent("Phase")
            return seat_event(attempt_id)
        case _:
            raise HostileEvent("UserEvent")


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call so far."""

    answered: bool = False
    rang: bool = False
    key: str | None = None
    """The first key with a meaning; the dialplan acts on that one."""
    greetings_ended: int = 0
    prompt_failed: bool = False
    bridged: bool = False
    """Whether the owner was connected to a seat: what was agreed there, only the operator knows (B7)."""

    def after(self, event: CallEvent) -> "CallFacts":
        """Return the facts once `event` is known too. Only an answered call can be greeted or keyed."""
        match event:
            case Ringing():
                return replace(self, rang=True)
            case Answered() | GreetingStarted():
                return replace(self, answered=True)
            case GreetingEnded():
                return replace(self, answered=True, greetings_ended=self.greetings_ended + 1)
            case KeyPressed(key=key) if self.key is None and key in KEY_OUTCOMES:
                return replace(self, answered=True, key=key)
            case KeyPressed():
                return replace(self, answered=True)
            case PromptFailed():
                return replace(self, answered=True, prompt_failed=True)
            case SeatConnected():
                return replace(self, answered=True, bridged=True)
            case SeatRinging() | SeatUnavailable() | SeatLeft():
                return replace(self, answered=True)
            case _:
                return self


KEY_OUTCOMES: Final[Mapping[str, AttemptOutcome]] = MappingProxyType(
    {"1": "agreed", "2": "disputed", "3": "refused", "0": "wanted_operator"}
)

BRIDGED_OUTCOME: Final[AttemptOutcome] = "wanted_operator"
"""What an owner who talks with the operator has decided is for the operator to say."""
BRIDGED: Final = "bridged"
"""The reason of that outcome when the two were connected, and the dialplan's word for it."""
SEAT_UNAVAILABLE: Final = "seat_unavailable"
"""The reason beside an outcome when a seat was wanted and could not be had."""

GREETINGS: Final = 2
"""How often the greeting and the menu are read before silence is taken for an answer."""

CAUSE_OUTCOMES: Final[Mapping[int, AttemptOutcome]] = MappingProxyType(
    {
        1: "unallocated",  # unallocated number; SIP 404, 485, 604
        3: "congestion",  # no route to destination
        17: "busy",  # SIP 486, 600
        18: "no_answer",  # no user response; SIP 408
        19: "no_answer",  # rang until the time was up; SIP 480
        20: "no_answer",  # subscriber absent: the phone is off
        21: "declined",  # SIP 603; 401, 403 and 407 without ringing are the trunk's: congestion
        22: "unallocated",  # number changed; SIP 410
        27: "congestion",  # destination out of order; SIP 502
        28: "unallocated",  # invalid number format; SIP 484
        29: "failed",  # facility rejected; SIP 501
        34: "congestion",  # no circuit; SIP 503
        38: "congestion",  # network out of order; SIP 500
        41: "congestion",  # temporary failure; SIP 409
        42: "congestion",  # switching equipment congestion
        44: "congestion",  # requested circuit not available
        50: "failed",  # facility not subscribed
        58: "failed",  # bearer capability not available; SIP 488, 606
        66: "failed",  # channel type not implemented
        88: "failed",  # incompatible destination
        102: "congestion",  # recovery on timer expiry: the trunk does not answer; SIP 504
        127: "failed",  # interworking: SIP errors that only a faulty call of ours meets
    }
)
"""Hang-up cause of a call that was not answered → outcome. A cause that is not here is not understood, and
the call stays `unknown`: it may have rung, so a person decides (B5)."""

_REJECTED: Final = 21

REASON_OUTCOMES: Final[Mapping[int, AttemptOutcome]] = MappingProxyType(
    {
        0: "congestion",  # no channel could be made (else its end would have been told): nothing was dialled
        3: "no_answer",
        5: "busy",
        8: "congestion",
    }
)
"""Reason of an `OriginateFailed` that no `Ended` came before → outcome; others are `unknown`."""


def outcome_of(facts: CallFacts, cause: int, status: int | None = None) -> AttemptOutcome:
    """Return how a call ended that had come to `facts` when its channel went away with `cause`."""
    if facts.key is not None:
        return KEY_OUTCOMES[facts.key]
    if facts.bridged:
        return BRIDGED_OUTCOME
    if facts.prompt_failed:
        return "failed"
    if facts.answered:
        return "no_input" if facts.greetings_ended >= GREETINGS else "hung_up"
    if cause == _REJECTED and is_refusal(status, rang=facts.rang):
        return "congestion"
    return CAUSE_OUTCOMES.get(cause, "unknown")


def outcome_of_failure(reason: int) -> AttemptOutcome:
    """Return how a call ended of which only the failed originate is known, and never a channel's end."""
    return REASON_OUTCOMES.get(reason, "unknown")


@dataclass(frozen=True, slots=True)
class LeftResult:
    """What the dialplan wrote down for a client that was away. `ended_at` is None while the call is up.

    `bridged_at`: when the owner was connected to a seat; None when he was not.
    """

    outcome: AttemptOutcome
    answered_at: datetime | None
    ended_at: datetime | None
    bridged_at: datetime | None = None


LEFT_OUTCOMES: Final[Mapping[str, AttemptOutcome]] = MappingProxyType(
    {
        "agreed": "agreed",
        "disputed": "disputed",
        "refused": "refused",
        "wanted_operator": "wanted_operator",
        BRIDGED: BRIDGED_OUTCOME,
        "no_input": "no_input",
        "hung_up": "hung_up",
        "failed": "failed",
    }
)

_LEFT: Final = re.compile(r"([a-z_]{1,20});([0-9]{0,12});([0-9]{0,12})(?:;([0-9]{1,12}))?")
_LEFT_UNANSWERED: Final = re.compile(r"cause-([0-9]{1,3});0?;([0-9]{1,12})")


def read_left(value: str) -> LeftResult:
    """Read `<result>;<answered epoch>;<ended epoch>`, of a bridged call also `;<connected epoch>`.

    Of a call that was not answered it is `cause-<hang-up cause>;0;<ended epoch>`. Raises HostileEvent when it
    is anything else.
    """
    unanswered = _LEFT_UNANSWERED.fullmatch(value)
    if unanswered is not None:
        return LeftResult(outcome_of(CallFacts(), int(unanswered[1])), None, _moment(unanswered[2]))
    match = _LEFT.fullmatch(value)
    if match is None or match[1] not in LEFT_OUTCOMES or (match[1] == BRIDGED) is (match[4] is None):
        raise HostileEvent("Val")
    return LeftResult(LEFT_OUTCOMES[match[1]], *(_moment(match[group] or "") for group in (2, 3, 4)))


def _moment(epoch: str) -> datetime | None:
    if not epoch or not int(epoch):
        return None
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise HostileEvent("Val") from None
