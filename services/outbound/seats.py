"""Whom an owner can be connected to: the seat of the operator whose case it is (B7)."""

import re
from typing import Final

from services.common.ami.actions import SEAT
from services.common.events import CallMode

_SEAT: Final = re.compile(SEAT)


def connection(mode: CallMode, username: str) -> tuple[CallMode, str]:
    """Return how to call for an operator: the mode, and the name of the seat, empty when there is none.

    A seat is named as its operator. A username that cannot be a seat's name has none, and then the owner is
    given the menu. Whether somebody is at the seat is found out by ringing it.
    """
    if _SEAT.fullmatch(username):
        return mode, username
    return "notice", ""
