"""Trunks that go out of service and come back, as incidents."""

from typing import Final

import structlog

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.incidents import close_incident, open_incident
from services.outbound.switchboard import Switchboard, Turn
from services.outbound.trunks import TrunkState
from services.outbound.waiting import signalled

log = structlog.get_logger(__name__)

TRUNK_OUT: Final = "trunk_out"
"""Kind of the incident; its subject is `<node>/<trunk>`."""
_LOOK_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 1.0


class TrunkKeeper:
    """Opens an incident when a trunk goes out and closes it when a call gets through; wakes rested trunks."""

    def __init__(self, database: Database, clock: Clock, switchboard: Switchboard) -> None:
        self._database = database
        self._clock = clock
        self._switchboard = switchboard

    async def run(self) -> None:
        """Keep at it for ever; an outage of the database delays incidents and loses none."""
        wait = _LOOK_SECONDS
        while True:
            await signalled(self._switchboard.turned, self._clock, wait)
            wait = _LOOK_SECONDS
            self._switchboard.refresh()
            try:
                await self.write()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("incidents_wait", error=repr(error))
                wait = _AGAIN_SECONDS

    async def write(self) -> None:
        """Write down what has changed, in order."""
        turns = self._switchboard.turns
        while turns:
            await self._write(turns[0])
            turns.popleft()

    async def _write(self, turn: Turn) -> None:
        subject = "/".join(turn.route)
        if turn.state is TrunkState.OUT:
            async with self._database.transaction() as session:
                detail = {"reason": turn.reason}
                await open_incident(session, TRUNK_OUT, subject, turn.at, detail=detail)
        elif turn.state is TrunkState.IN_SERVICE:
            async with self._database.transaction() as session:
                await close_incident(session, TRUNK_OUT, subject, turn.at)
