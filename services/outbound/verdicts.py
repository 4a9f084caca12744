"""What the end of a call says of the trunk it went over, and whether the phone can have rung. Pure (B5).

A status below 500 is the called network's word on the number or its owner, except those by which the trunk
itself refuses us. RFC 3398 gives a network's rejection as 403 and a person's as 603, but a gateway may send
403 for a person who declined: so 403 after ringing is the owner's.
"""

from typing import Final

_REFUSES_US: Final = frozenset({401, 403, 407})
_ITS_OWN_FAILURE: Final = range(500, 600)
_NOT_FOR_US: Final = frozenset({501, 505, 513})
"""What the far end says of a request that it will never take: ours is wrong, or it cannot do such calls."""
_CAUSES: Final = frozenset({3, 21, 27, 34, 38, 41, 42, 44, 102, 127})
"""Q.850 causes that agree with a failure of the trunk. A gateway that gives another one beside 503, in a
Reason header, knows better: 17 is an owner who is busy."""
_RANG_OUT: Final = 19
_TIMER_EXPIRED: Final = 102

_UNRUNG: Final = _REFUSES_US | {500, 503}
"""Final answers of the trunk itself. 502 and 504 tell of a network beyond it, which may have had the call."""
UNANSWERED: Final = "invite_unanswered"
"""No answer to the INVITE in time; it may have been received all the same."""


def trunk_failure(cause: int, status: int | None, *, rang: bool, waited_out: bool) -> str | None:
    """Return the code of the trunk's failure that ended a call; None when the trunk carried it.

    `rang`: the far end said so, or was answered; `waited_out`: the whole ring time passed.
    """
    if rang:
        return None
    if cause == _TIMER_EXPIRED or (cause == _RANG_OUT and waited_out):
        return UNANSWERED
    if cause not in _CAUSES:
        return None
    if status in _REFUSES_US or (status in _ITS_OWN_FAILURE and status not in _NOT_FOR_US):
        return f"sip_{status}"
    return None


def is_refusal(status: int | None, *, rang: bool) -> bool:
    """Whether the trunk, and not the owner, rejected the call."""
    return status in _REFUSES_US and not rang


def is_unrung(failure: str | None) -> bool:
    """Whether this failure proves that no phone rang, when nothing else was heard of the call."""
    return failure is not None and failure in _UNRUNG_CODES


_UNRUNG_CODES: Final = frozenset({f"sip_{status}" for status in _UNRUNG} | {"no_channel"})
