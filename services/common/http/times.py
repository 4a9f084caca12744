"""Times in answers: RFC 3339 with +08:00."""

from datetime import datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from services.common.clock import local


def rfc3339(moment: datetime) -> str:
    """Return a moment as the API writes it, to the millisecond."""
    return local(moment).isoformat(timespec="milliseconds")


Moment = Annotated[
    datetime, PlainSerializer(rfc3339), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A datetime in an answer."""
