"""Recordings as evidence: what their catalogue says of an attempt."""

from collections.abc import Collection, Mapping
from typing import Final, cast

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.common.membership import among, shares
from services.common.settings import Settings
from services.outbound.evidence.facts import Recordings
from services.outbound.evidence.reconcile import Recording
from services.outbound.recordings.models import AttemptRecording

_RECORDINGS: Final = cast(Table, AttemptRecording.__table__)
_OF: Final = select(_RECORDINGS.c.attempt_id, _RECORDINGS.c.state, _RECORDINGS.c.sha256).where(
    among(_RECORDINGS.c.attempt_id, "ids")
)


async def _catalogued(session: AsyncSession, ids: Collection[str]) -> Mapping[str, Recording]:
    found: dict[str, Recording] = {}
    for share in shares(ids):
        for row in await session.execute(_OF, {"ids": share}):
            match row.state:
                case "none":
                    found[row.attempt_id] = Recording("silent")
                case "missing":
                    found[row.attempt_id] = Recording("missing")
                case _:  # a damaged one is a recording; what is wrong with it is an incident of its own
                    found[row.attempt_id] = Recording("kept", row.sha256 or "")
    return found


def collected_recordings(settings: Settings) -> Recordings | None:
    """Return where to ask for recordings; None where this installation collects none."""
    return None if settings.spool is None else _catalogued
