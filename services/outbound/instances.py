"""Which processes place calls: each shows in the database that it lives, and sees by that which do not.

No clocks are compared: a process is dead when its beat has not changed for a while by the watch of the one
who looks. A process that cannot show that it lives places no calls, and none that it claimed a while ago, so
that whoever finds it dead can ask Asterisk about its calls and believe the answer (B5).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import structlog
from sqlalchemy import Table, delete, insert, select, update

from services.common.ami import NotSent
from services.common.clock import Clock
from services.common.database import Database, is_outage, rows_changed
from services.common.ids import new_id
from services.outbound.models import Instance

log = structlog.get_logger(__name__)

BEAT_SECONDS: Final = 2.0
HELD_SECONDS: Final = 5.0
"""How long a beat lets a process place calls."""
CLAIM_SECONDS: Final = 4.0
"""How long after it was claimed a call may still be placed."""
DEAD_SECONDS: Final = 12.0
"""How long a beat may stand still. More than the two above together: a claim, made on the last moment of a
beat, is placed by then or never."""
_INSTANCES: Final = cast(Table, Instance.__table__)


class Lease:
    """Whether this process may place calls, from its own last beat."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held_until = 0.0

    @property
    def held(self) -> bool:
        """Whether calls may be claimed and placed now."""
        return self._clock.monotonic() < self._held_until

    def check(self, claimed: float) -> None:
        """Let a call be placed that was claimed at this time (monotonic seconds).

        Raises NotSent when that is too long ago: others may take this process for dead by now.
        """
        if self._clock.monotonic() > claimed + CLAIM_SECONDS:
            raise NotSent("claimed_too_long_ago")

    def hold(self, since: float) -> None:
        """Place calls on the strength of a beat that began at this time (monotonic seconds)."""
        self._held_until = since + HELD_SECONDS

    def give_up(self) -> None:
        """Place no more calls."""
        self._held_until = 0.0


class Instances:
    """This process's beat, and the watch over the others'. `wake` is called when the lease is held again."""

    def __init__(
        self, database: Database, clock: Clock, name: str, lease: Lease, wake: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._name = name
        self._run = new_id()
        self._lease = lease
        self._wake = wake
        self._beat = 0
        self._shown = False
        self._watched: dict[str, tuple[tuple[str, int], float]] = {}
        """Instance → its run and beat, and since when by our watch."""
        self.taken_over = False
        """Whether another process runs under our name."""

    async def run(self) -> None:
        """Beat for ever; an outage of the database ends the lease and nothing else."""
        while True:
            try:
                await self.beat()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("instance_cannot_beat", error=repr(error))
            await self._clock.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """Show that this process lives. A younger process of the same name ends our lease."""
        began = self._clock.monotonic()
        self._beat += 1
        values = {"beat": self._beat, "seen_at": self._clock.now(), "stopped": False}
        mine = _INSTANCES.c.name == self._name
        async with self._database.transaction() as session:
            if not self._shown:
                await session.execute(delete(_INSTANCES).where(mine))
                await session.execute(insert(_INSTANCES).values(name=self._name, run=self._run, **values))
                alive = True
            else:
                beaten = await session.execute(
                    update(_INSTANCES).where(mine, _INSTANCES.c.run == self._run).values(**values)
                )
                alive = bool(rows_changed(beaten))
        self._shown = True  # not before: a first beat that failed has written nothing
        if not alive:
            if not self.taken_over:
                log.error("instance_name_taken", instance=self._name)
            self.taken_over = True
            self._lease.give_up()
            return
        was_held = self._lease.held
        self._lease.hold(began)
        if not was_held:
            self._wake()

    async def dead(self, named: set[str]) -> set[str]:
        """Return which of these instances are not running. One that was never seen is given its time too."""
        async with self._database.reading() as session:
            rows = (await session.execute(select(_INSTANCES))).all()
        return self._judge({row.name: row._mapping for row in rows}, named)

    def _judge(self, rows: Mapping[str, Any], named: set[str]) -> set[str]:
        now = self._clock.monotonic()
        dead = set()
        for name in named - {self._name}:
            row = rows.get(name)
            shown = (row["run"], row["beat"]) if row else ("", 0)
            seen, since = self._watched.get(name, (None, now))
            if seen != shown:
                since = now
                self._watched[name] = (shown, now)
            if now - since > DEAD_SECONDS or (row and row["stopped"]):
                dead.add(name)
        return dead

    async def stop(self) -> None:
        """Say goodbye: others need not wait to find out about our calls."""
        self._lease.give_up()
        async with self._database.transaction() as session:
            await session.execute(
                update(_INSTANCES)
                .where(_INSTANCES.c.name == self._name, _INSTANCES.c.run == self._run)
                .values(stopped=True)
            )
