"""The console's words and buttons against the server's own lists."""

from typing import Any, get_args

import pytest
from playwright.async_api import Page

from services.common.events import AttemptOutcome, AttemptState, CallMode, ContactOutcome, EscalationReason
from services.common.evidence import Status as ClauseStatus
from services.common.http.auth import ROLES
from services.escalation.chain.policy import Priority, Step
from services.escalation.desk_calls.line import Outcome as DeskCallOutcome
from services.escalation.documents import DISPOSITIONS
from services.escalation.faults.documents import NoticeStatus
from services.escalation.faults.pair.messages import Role
from services.escalation.faults.parts import INCIDENTS, PARTS
from services.escalation.faults.records import Audience, DutyKind, FaultState, Source
from services.escalation.machine import STATUSES as ESCALATION_STATUSES
from services.movecar.cases.desk_details import AT_THE_DESK
from services.movecar.cases.machine import (
    OPEN,
    STATUSES,
    TRANSITIONS,
    AttentionReason,
    Outcome,
    Trigger,
)
from services.movecar.plates import Color
from services.movecar.plates.grammar import Kind
from services.outbound.guard.verdict import Reason
from services.outbound.scripts.machine import Standing
from services.outbound.scripts.machine import Trigger as ScriptTrigger
from services.outbound.trunks import TrunkState

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Written to the history beside the state machine's triggers.
NOTES = {
    "opened",
    "joined",
    "contact_concluded_late",
    "desk_answered_late",
    "machine_calls_declined",
    "machine_calls_allowed",
    "desk_reminded",
    "desk_called",
    "supervisor_alerted",
    "desk_not_disposed",
    "hand_over_asked",
    "hand_over_ended",
}

LISTS: dict[str, set[str]] = {
    "STATUSES": set(STATUSES),
    "CASE_OUTCOMES": set(get_args(Outcome)),
    "ATTENTION_REASONS": set(get_args(AttentionReason)),
    "MODES": set(get_args(CallMode)),
    "ATTEMPT_STATES": set(get_args(AttemptState)),
    "ATTEMPT_OUTCOMES": set(get_args(AttemptOutcome)),
    "WITHHELD_REASONS": set(get_args(Reason)),
    "ESCALATION_REASONS": set(get_args(EscalationReason)),
    "ESCALATION_STATUSES": set(ESCALATION_STATUSES),
    "DISPOSITIONS": set(DISPOSITIONS),
    "TRIGGERS": set(get_args(Trigger)) | NOTES,
    "PRIORITIES": set(get_args(Priority)),
    "CHAIN_STEPS": set(get_args(Step)),
    "DESK_CALL_OUTCOMES": set(get_args(DeskCallOutcome)),
    "PLATE_KINDS": {str(kind) for kind in Kind},
    "FAULT_STATUSES": set(get_args(FaultState)),
    "FAULT_SOURCES": set(get_args(Source)),
    "AUDIENCES": set(get_args(Audience)),
    "NOTICE_KINDS": set(get_args(DutyKind)),
    "NOTICE_STATUSES": set(get_args(NoticeStatus)),
    "CLAUSE_STATUSES": set(get_args(ClauseStatus)),
    "TRUNK_STATES": {str(state) for state in TrunkState},
    "SCRIPT_STATUSES": set(get_args(Standing)),
    "COLORS": {str(color) for color in Color},
    "ROLES": set(ROLES),
}

ACTIONS: dict[str, set[Trigger]] = {
    "confirm-moved": {"moved"},
    "answer-agreed": {"owner_agreed"},
    "answer-disputed": {"owner_disputed"},
    "answer-refused": {"owner_refused"},
    "redial": {"redialled"},
    "correct-plate": {"plate_corrected"},
    "still-blocked": {"still_blocked", "still_blocked_again"},
    "escalate": {"escalated_by_operator"},
    "withdraw": {"withdrawn"},
}


async def load(page: Page, module: str) -> dict[str, Any]:
    return dict(await page.evaluate(f"import('/console/{module}').then((module) => ({{ ...module }}))"))


async def test_every_code_of_the_server_has_its_words(operator: Page) -> None:
    words = await load(operator, "words.js")
    for name, codes in LISTS.items():
        assert set(words[name]) == codes, name
    assert set(words["REASONS"]) >= set(get_args(ContactOutcome))
    assert words["DISPOSITIONS"] == dict(DISPOSITIONS)
    assert words["COMPONENTS"] == {name: part.title for name, part in PARTS.items()}
    assert set(words["MACHINES"]) == set(get_args(Role))
    assert words["INCIDENT_KINDS"] == INCIDENTS
    assert set(words["SCRIPT_ACTIONS"]) >= {str(trigger) for trigger in ScriptTrigger}


async def test_buttons_are_offered_exactly_where_the_state_machine_allows_them(operator: Page) -> None:
    actions = (await load(operator, "actions.js"))["ACTIONS"]
    assert set(actions) == set(ACTIONS) | {"no-machine-calls", "hand-over"}
    assert set(actions["hand-over"]["statuses"]) == AT_THE_DESK
    # Moves no case; offered wherever an owner may be known and the case is not over.
    assert set(actions["no-machine-calls"]["statuses"]) == OPEN - {"looking_up"}
    for name, triggers in ACTIONS.items():
        allowed = {status for status, trigger in TRANSITIONS if trigger in triggers}
        assert set(actions[name]["statuses"]) == allowed, name


async def test_the_live_list_holds_every_open_status(operator: Page) -> None:
    assert set((await load(operator, "live.js"))["OPEN"]) == OPEN
