import pytest

from services.outbound.calls import CallFacts, outcome_of
from services.outbound.verdicts import UNANSWERED, is_unrung, trunk_failure

CASES: list[tuple[int, int | None, bool, bool, str | None, bool]] = [
    # cause, SIP status, rang, waited out; failure of the trunk, provably nobody rung
    # the trunk is full
    (34, 503, False, False, "sip_503", True),
    # it broke, and says so itself
    (38, 500, False, False, "sip_500", True),
    # something behind it broke, and may have had the call
    (27, 502, False, False, "sip_502", False),
    (102, 504, False, False, UNANSWERED, False),
    # no answer to the INVITE, which may have arrived
    (102, None, False, False, UNANSWERED, False),
    (19, 480, False, True, UNANSWERED, False),
    # it refuses us, not the owner the call
    (21, 403, False, False, "sip_403", True),
    (21, 401, False, False, "sip_401", True),
    (21, 407, False, False, "sip_407", True),
    # after ringing the same words are the owner's, and a broken call is no proof of anything
    (21, 403, True, False, None, False),
    (34, 503, True, False, None, False),
    # the owner, or the owner's number
    (21, 603, False, False, None, False),
    (17, 486, False, False, None, False),
    (1, 404, False, False, None, False),
    (19, 480, False, False, None, False),
    (19, 480, True, True, None, False),
    (16, None, True, False, None, False),
    # a request that nobody would take
    (29, 501, False, False, None, False),
    # the gateway gives 503 and says why: the owner is busy
    (17, 503, False, False, None, False),
    # no final answer came: no proof of anything
    (34, None, False, False, None, False),
]


@pytest.mark.parametrize(("cause", "status", "rang", "waited_out", "failure", "unrung"), CASES)
def test_the_end_of_a_call_tells_whether_its_trunk_failed_and_a_phone_can_have_rung(
    cause: int, status: int | None, rang: bool, waited_out: bool, failure: str | None, unrung: bool
) -> None:
    assert trunk_failure(cause, status, rang=rang, waited_out=waited_out) == failure
    assert is_unrung(failure) == unrung


@pytest.mark.parametrize(
    ("status", "rang", "outcome"),
    [
        # a person declined
        (603, False, "declined"),
        (603, True, "declined"),
        # a gateway that gives 403 for that, after the phone rang
        (403, True, "declined"),
        # the network refuses us
        (403, False, "congestion"),
        (401, False, "congestion"),
        # an Asterisk that does not tell
        (None, False, "declined"),
    ],
)
def test_a_rejection_is_the_owners_or_the_networks(status: int | None, rang: bool, outcome: str) -> None:
    assert outcome_of(CallFacts(rang=rang), 21, status) == outcome
