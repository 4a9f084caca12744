"""What happened to an attempt, and what each thing that happens leaves behind. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from services.common.events import AttemptChanged, AttemptOutcome, AttemptState
from services.outbound import calls
from services.outbound.attempts import IllegalTransition, Trigger, next_state
from services.outbound.calls import CallEvent, CallFacts, LeftResult
from services.outbound.lines import Route
from services.outbound.verdicts import is_unrung

TRY_AGAIN_AFTER: Final = timedelta(seconds=1)
"""How long a call that could not be sent waits in the queue before it is taken up again."""

_OF_EVENT: Final[dict[type, Trigger]] = {
    calls.Ringing: Trigger.RINGING,
    calls.Answered: Trigger.ANSWERED,
    calls.GreetingStarted: Trigger.GREETING_STARTED,
    calls.GreetingEnded: Trigger.GREETING_ENDED,
    calls.KeyPressed: Trigger.KEY_PRESSED,
    calls.PromptFailed: Trigger.PROMPT_FAILED,
    calls.SeatConnected: Trigger.SEAT_CONNECTED,
    calls.SeatUnavailable: Trigger.SEAT_UNAVAILABLE,
    calls.Ended: Trigger.ENDED,
    calls.OriginateFailed: Trigger.ORIGINATE_FAILED,
}


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to an attempt, at a time."""

    attempt_id: str
    trigger: Trigger
    at: datetime
    key: str = ""
    code: int = 0
    """Hang-up cause of ENDED, reason of ORIGINATE_FAILED."""
    status: int | None = None
    """SIP status of ENDED."""
    failure: str | None = None
    """Of ENDED and ORIGINATE_FAILED: code of the trunk's failure, when it was that."""
    gapped: bool = False
    """Whether something about the call may have been missed before this."""
    claim: int = 0
    """Of NOT_SENT: the version of the claim it takes back."""
    left: LeftResult | None = None
    """Of LEFT_ANSWER and LEFT_RESULT."""

    @classmethod
    def seen(
        cls, event: CallEvent, at: datetime, *, failure: str | None = None, gapped: bool = False
    ) -> Self:
        """Return the change that an event of the PBX reports; `failure` and `gapped` as in the fields."""
        trigger = _OF_EVENT[type(event)]
        match event:
            case calls.KeyPressed(key=key):
                return cls(event.attempt_id, trigger, at, key=key)
            case calls.Ended(cause=code, status=status):
                return cls(
                    event.attempt_id, trigger, at, code=code, status=status, failure=failure, gapped=gapped
                )
            case calls.OriginateFailed(reason=code):
                return cls(event.attempt_id, trigger, at, code=code, failure=failure, gapped=gapped)
            case _:
                return cls(event.attempt_id, trigger, at)


@dataclass(slots=True)
class AttemptRecord:
    """An attempt as it stands; the fields are the columns of `models.Attempt` and its contact's `case_id`."""

    id: str
    contact_id: str
    case_id: str
    number: int
    number_index: int
    script_version: int
    queued_at: datetime
    state: AttemptState = "queued"
    outcome: AttemptOutcome | None = None
    version: int = 1
    claimed_by: str | None = None
    due_at: datetime | None = None
    dialed_at: datetime | None = None
    answered_at: datetime | None = None
    greeting_started_at: datetime | None = None
    greeting_ended_at: datetime | None = None
    greetings_ended: int = 0
    prompt_failed_at: datetime | None = None
    key: str | None = None
    key_at: datetime | None = None
    ended_at: datetime | None = None
    hangup_cause: int | None = None
    sip_status: int | None = None
    reason: str | None = None
    node: str | None = None
    trunk: str | None = None
    bridged_at: datetime | None = None
    moved: bool = False
    unrung: bool = field(default=False, compare=False)
    """Whether it has just ended by a failure of its trunk that proves that no phone rang (B5). Not kept."""

    @property
    def concluding_reason(self) -> str | None:
        """Why the contact ended as it did, where its outcome alone does not say."""
        return self.reason if self.outcome in {"wanted_operator", "withheld"} else None

    def snapshot(self, at: datetime) -> AttemptChanged:
        """Return the event that tells the other services how the attempt stands since `at`."""
        return AttemptChanged(
            occurred_at=at,
            case_id=self.case_id,
            contact_id=self.contact_id,
            attempt_id=self.id,
            version=self.version,
            number=self.number,
            state=self.state,
            outcome=self.outcome,
            script_version=self.script_version,
            queued_at=self.queued_at,
            dialed_at=self.dialed_at,
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            reason=self.reason,
            bridged_at=self.bridged_at,
            greeting_started_at=self.greeting_started_at,
            greeting_ended_at=self.greeting_ended_at,
            pressed=self.key,
            pressed_at=self.key_at,
        )

    @property
    def route(self) -> Route | None:
        """Where it was placed, or is to be; None when it may go anywhere."""
        return Route(self.node, self.trunk) if self.node and self.trunk else None

    def claim(self, instance: str, route: Route, script_version: int, at: datetime) -> None:
        """Take the attempt from the queue for `instance`, to dial it once. Raises IllegalTransition."""
        self.state = next_state(self.state, Trigger.CLAIMED)
        self.version += 1
        self.claimed_by, self.dialed_at = instance, at
        self.node, self.trunk = route
        self.script_version = script_version

    def withhold(self, reason: str, at: datetime) -> None:
        """End the attempt before anyone is rung, for `reason` (B4). Raises IllegalTransition."""
        self.state = next_state(self.state, Trigger.WITHHELD)
        self.version += 1
        self.outcome, self.reason, self.ended_at = "withheld", reason, at

    def advance(self, change: Change) -> bool:
        """Take in a change to a claimed attempt; tell whether it made a difference.

        Raises IllegalTransition and leaves everything as it was.
        """
        if change.trigger is Trigger.NOT_SENT and change.claim != self.version:
            # Written before, and the attempt was claimed again since: it may be ringing now (B5).
            raise IllegalTransition(self.state, change.trigger)
        was, self.state = self.state, next_state(self.state, change.trigger)
        if was == "ended":
            return False
        at = change.at
        if self.state == "answered" and self.answered_at is None:
            self.answered_at = (change.left.answered_at if change.left else None) or at
        match change.trigger:
            case Trigger.NOT_SENT:
                self.dialed_at = self.claimed_by = self.node = self.trunk = None
                self.due_at = at + TRY_AGAIN_AFTER
            case Trigger.GREETING_STARTED:
                self.greeting_started_at = self.greeting_started_at or at
            case Trigger.GREETING_ENDED:
                self.greeting_ended_at = at
                self.greetings_ended += 1
            case Trigger.KEY_PRESSED if self.key is None and change.key in calls.KEY_OUTCOMES:
                self.key, self.key_at = change.key, at
                # The dialplan's note of the same key may have been read before.
                self.outcome = self.outcome or calls.KEY_OUTCOMES[change.key]
            case Trigger.PROMPT_FAILED:
                self.prompt_failed_at = at
            case Trigger.SEAT_CONNECTED:
                self._connected(at)
                # The person decides what the owner has decided; the call goes on meanwhile.
                self.outcome = self.outcome or calls.BRIDGED_OUTCOME
            case Trigger.SEAT_UNAVAILABLE:
                self.reason = self.reason or calls.SEAT_UNAVAILABLE
            case Trigger.LEFT_ANSWER if change.left:
                self._connected(change.left.bridged_at)
                self.outcome = self.outcome or change.left.outcome
            case _ if self.state == "ended":
                self._end(change, was)
        return True

    def _connected(self, at: datetime | None) -> None:
        if at is not None and self.bridged_at is None:
            self.bridged_at, self.reason = at, calls.BRIDGED

    def _end(self, change: Change, was: AttemptState) -> None:
        left = change.left
        self._connected(left.bridged_at if left else None)
        if left and left.answered_at:
            self.answered_at = self.answered_at or left.answered_at
        self.ended_at = (left.ended_at if left else None) or change.at
        if change.trigger is Trigger.ENDED:
            self.hangup_cause, self.sip_status = change.code, change.status
        if self.outcome is None:
            self.outcome = self._outcome(change, rang=was == "ringing")
            if self.outcome == "congestion":
                self.reason = change.failure
                self.unrung = was == "dialing" and not change.gapped and is_unrung(change.failure)

    def _outcome(self, change: Change, *, rang: bool) -> AttemptOutcome | None:
        match change.trigger:
            case Trigger.ENDED:
                return calls.outcome_of(self._facts(rang), change.code, change.status)
            case Trigger.ORIGINATE_FAILED if self.answered_at is None:
                return calls.outcome_of_failure(change.code)
            case Trigger.LEFT_RESULT if change.left:
                return change.left.outcome
            case Trigger.REFUSED:
                return "failed"
            case Trigger.WITHDRAWN:
                return None
            case _:
                return "unknown"

    def _facts(self, rang: bool) -> CallFacts:
        return CallFacts(
            answered=self.answered_at is not None,
            rang=rang,
            key=self.key,
            greetings_ended=self.greetings_ended,
            prompt_failed=self.prompt_failed_at is not None,
            bridged=self.bridged_at is not None,
        )
