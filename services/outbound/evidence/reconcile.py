"""Attempts, the switch's calls and the recordings held against one another, in both directions (B4). Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from services.common.events import AttemptOutcome
from services.outbound.evidence.calls import SwitchCall

TOLERANCE_SECONDS: Final = 1.0
"""How far the lengths of an answered call may be apart."""
_WHOLE_SECONDS: Final = 1.0
"""Allowed more where a time comes from the dialplan's note, which has whole seconds."""
RECORDED_SECONDS: Final = 1.0
"""An owner who hangs up sooner may be gone before the dialplan's first step, which begins the recording."""


class Kind(StrEnum):
    """How the three can disagree; each is the kind of an incident."""

    CALL_WITHOUT_ATTEMPT = "call_without_attempt"
    """The switch called out and no attempt of ours asked for it."""
    CALLED_TWICE = "called_twice"
    """The switch called out more than once for one attempt: the most serious."""
    CALLED_UNDIALLED = "called_undialled"
    """The switch called out for an attempt that was never dialled, as far as we knew."""
    ATTEMPT_WITHOUT_CASE = "attempt_without_case"
    """The operators' side knows no case that the call was placed for."""
    ATTEMPT_WITHOUT_CALL_RECORD = "attempt_without_call_record"
    """We heard of a channel, and the switch has no record of one."""
    ANSWERED_WITHOUT_RECORDING = "answered_without_recording"
    DISPOSITION_DIFFERS = "disposition_differs"
    """One says that the call was answered, the other that it was not."""
    DURATION_DIFFERS = "duration_differs"
    """The lengths of the answered call differ."""
    UNKNOWN_CALL = "unknown_call"
    """Nobody heard how the call ended; the detail says what the switch's record proves (B5)."""


@dataclass(frozen=True, slots=True)
class DialledAttempt:
    """What the caller says of an attempt that has ended. `had_channel`: its end or its answer was heard."""

    id: str
    case_id: str
    script_version: int
    outcome: AttemptOutcome | None
    dialed_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    had_channel: bool

    @property
    def seconds(self) -> float:
        """How long it was answered."""
        if self.answered_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.answered_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Recording:
    """What became of an attempt's recording. `silent`: nothing was said that could have been recorded."""

    state: Literal["kept", "silent", "missing"]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that disagrees. `subject`: the attempt's id, or the channel's where there is no attempt."""

    kind: Kind
    subject: str
    case_id: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """An attempt, its one call and its recording agree. `recording` is None where recordings are not kept."""

    attempt: DialledAttempt
    call: SwitchCall
    recording: Recording | None


@dataclass(slots=True)
class Reconciliation:
    """What came of a comparison."""

    mismatches: list[Mismatch] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    calls: int = 0
    """Calls out, by the switch's records."""
    with_attempt: int = 0
    answered: int = 0
    """Of those with an attempt, by the switch's records."""
    recorded: int = 0


def reconcile(
    attempts: Iterable[DialledAttempt],
    calls: Iterable[SwitchCall],
    recordings: Mapping[str, Recording] | None,
) -> Reconciliation:
    """Compare attempts with all calls that claim them, and calls with the attempts they claim.

    `attempts` has every attempt that a call claims, if there is such an attempt. `recordings` is None where
    none are collected; an answered attempt that is not in it has none yet.
    """
    known = {attempt.id: attempt for attempt in attempts}
    claims: dict[str, list[SwitchCall]] = defaultdict(list)
    result = Reconciliation()
    for call in calls:
        if not call.to_an_owner:
            continue
        result.calls += 1
        if call.attempt_id in known:
            claims[call.attempt_id].append(call)
        else:
            result.mismatches.append(_stranger(call))
    for attempt in known.values():
        placed = claims.get(attempt.id, [])
        recording = None if recordings is None else recordings.get(attempt.id, Recording("missing"))
        found = list(_compare(attempt, placed, recording))
        result.mismatches += found
        result.with_attempt += len(placed)
        answered = sum(call.answered_at is not None for call in placed)
        result.answered += answered
        result.recorded += bool(answered and recording and recording.state == "kept")
        if not found and placed:
            result.proofs.append(Proof(attempt, placed[0], recording))
    return result


def _stranger(call: SwitchCall) -> Mismatch:
    detail = {"node": call.node, "channel": call.records[0].channel} | _times(call)
    return Mismatch(Kind.CALL_WITHOUT_ATTEMPT, call.unique_id, "", detail)


def _compare(
    attempt: DialledAttempt, calls: list[SwitchCall], recording: Recording | None
) -> Iterator[Mismatch]:
    def mismatch(kind: Kind, **detail: Any) -> Mismatch:
        return Mismatch(kind, attempt.id, attempt.case_id, detail)

    if len(calls) > 1:
        yield mismatch(Kind.CALLED_TWICE, calls=[{"channel": _name(call)} | _times(call) for call in calls])
        return
    if attempt.outcome == "unknown":
        yield mismatch(Kind.UNKNOWN_CALL, **proved(calls))
        return
    if not calls:
        if attempt.dialed_at is not None and attempt.had_channel:
            yield mismatch(Kind.ATTEMPT_WITHOUT_CALL_RECORD, outcome=attempt.outcome)
        return
    call = calls[0]
    if attempt.dialed_at is None:
        yield mismatch(Kind.CALLED_UNDIALLED, outcome=attempt.outcome, **_times(call))
        return
    if (call.answered_at is None) != (attempt.answered_at is None):
        yield mismatch(Kind.DISPOSITION_DIFFERS, outcome=attempt.outcome, **_times(call))
    elif attempt.answered_at is not None and _lengths_differ(attempt, call):
        yield mismatch(Kind.DURATION_DIFFERS, attempt_seconds=attempt.seconds, record_seconds=call.billed)
    if call.answered_at is not None and _lacks(recording, call):
        yield mismatch(Kind.ANSWERED_WITHOUT_RECORDING, record_seconds=call.billed)


def _lengths_differ(attempt: DialledAttempt, call: SwitchCall) -> bool:
    noted = any(at is not None and not at.microsecond for at in (attempt.answered_at, attempt.ended_at))
    allowed = TOLERANCE_SECONDS + (_WHOLE_SECONDS if noted else 0.0)
    return call.contradicts_itself or abs(attempt.seconds - call.billed) > allowed


def _lacks(recording: Recording | None, call: SwitchCall) -> bool:
    if recording is None or recording.state != "missing":
        return False
    return call.billed >= RECORDED_SECONDS


def proved(calls: list[SwitchCall]) -> dict[str, Any]:
    """Return what the switch's records say of a call whose end nobody heard, for a person to decide by."""
    if not calls:
        return {"proved": "no_call_record"}
    call = calls[0]
    return {"proved": "answered" if call.answered_at else "not_answered"} | _times(call)


def _name(call: SwitchCall) -> str:
    return call.records[0].channel


def _times(call: SwitchCall) -> dict[str, Any]:
    return {
        "started_at": call.started_at.isoformat(),
        "ended_at": call.ended_at.isoformat(),
        "record_seconds": call.billed,
        "disposition": call.records[-1].disposition,
    }
