"""What counts as "successfully connected" (D3): one pure decision, named. The settlement reads its result."""

from typing import Any, Final, Literal

from services.outbound.evidence.reconcile import Proof

Connection = Literal["answered", "not_answered", "fault_of_ours"]

_CONNECTED: Final[frozenset[Connection]] = frozenset({"answered"})


def connection(proof: Proof) -> Connection:
    """Say whether the owner was connected, and why.

    The contract pays for "successfully connected calls" and does not say what that is. Taken here: the
    switch's record has an answer, and what was to be said could be said. So a call counts that was answered
    by a mailbox, or hung up at once: neither can be told from a person by any record. One does not count in
    which a prompt of ours failed.
    """
    if proof.call.answered_at is None:
        return "not_answered"
    return "fault_of_ours" if proof.attempt.outcome == "failed" else "answered"


def bill(proof: Proof) -> dict[str, Any]:
    """Return the columns of `models.BillableCall`, but for the time of writing."""
    attempt, call, recording = proof.attempt, proof.call, proof.recording
    why = connection(proof)
    return {
        "attempt_id": attempt.id,
        "case_id": attempt.case_id,
        "script_version": attempt.script_version,
        "node": call.node,
        "dialed_at": call.started_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "billed_seconds": call.billed,
        "connected": why in _CONNECTED,
        "connection": why,
        "recording_sha256": recording.sha256 if recording else "",
    }
