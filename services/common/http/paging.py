"""Paging: `limit` and an opaque `cursor` that says where the last page ended."""

import base64
import binascii
import contextlib
from datetime import datetime
from typing import Annotated

from pydantic import Field

from services.common.http.problems import invalid

MAX_LIMIT = 200
_BAD = "游标无效，请从第一页重新开始"
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str, Field(max_length=200)]


def write_cursor(position: str) -> str:
    """Return the cursor of a position."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """Return the position of a cursor. Raises Problem 422 for one that was never given out."""
    with contextlib.suppress(binascii.Error, UnicodeError, ValueError):
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = raw.decode("ascii")
        if position.isprintable() and write_cursor(position) == cursor:
            return position
    raise invalid("cursor", _BAD)


def write_moment_cursor(moment: datetime, item_id: str) -> str:
    """Return the cursor of an item in a list that is ordered by time, then by id."""
    return write_cursor(f"{moment.isoformat()}|{item_id}")


def read_moment_cursor(cursor: str) -> tuple[datetime, str]:
    """Return the time and id of such a cursor. Raises Problem 422 for one that was never given out."""
    moment, _, item_id = read_cursor(cursor).partition("|")
    with contextlib.suppress(ValueError):
        read = datetime.fromisoformat(moment)
        if read.tzinfo is not None:
            return read, item_id
    raise invalid("cursor", _BAD)
