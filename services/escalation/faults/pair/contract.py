"""What the engine asks about the other machine, and the answers of a machine that has none."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from services.escalation.faults.detection.judge import Reading
from services.escalation.faults.parts import part
from services.escalation.faults.records import Delivery, Duty, Record


class Pairing(Protocol):
    """The other machine as the engine sees it. An answer in doubt is the one that tells the desk."""

    @property
    def machine(self) -> str:
        """Return this machine's name in the pair; empty where there is one machine."""

    def held(self, duty: Duty, delivery: Delivery, now: datetime) -> bool:
        """Whether the other machine is left to give this notice."""

    def seen(self, readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
        """Return what counts as found of each part, given what was found here."""

    def waits(self, component: str, ripe_at: datetime, now: datetime) -> bool:
        """Whether a fault that could be opened, or closed, since then is left to the other machine."""

    def downtime(self, component: str) -> bool:
        """Whether the desk is told when this part of this machine is down."""

    def covered(self, began_at: datetime, now: datetime) -> bool:
        """Whether the other machine kept watch since a moment, so that our absence was none for the desk."""

    def missed(self, absence: timedelta) -> None:
        """Note how long nobody watched here before this process."""

    def uninformed_since(self, now: datetime) -> datetime | None:
        """Return since when this machine is back without having heard what the other one told meanwhile.

        None: it has heard, may still hear, or was not away.
        """

    def changed(self, records: Sequence[Record]) -> None:
        """Note what changed here, for the other machine."""


class Alone:
    """There is no other machine."""

    machine = ""

    def held(self, _: Duty, __: Delivery, ___: datetime) -> bool:
        """Nobody else gives it."""
        return False

    def seen(self, readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
        """What was found here."""
        return readings

    def waits(self, _: str, __: datetime, ___: datetime) -> bool:
        """Nobody else opens it."""
        return False

    def downtime(self, component: str) -> bool:
        """As the part is."""
        return part(component).downtime

    def covered(self, _: datetime, __: datetime) -> bool:
        """Nobody else was watching."""
        return False

    def missed(self, _: timedelta) -> None:
        """Nobody else told anything."""

    def uninformed_since(self, _: datetime) -> None:
        """Nobody else told anything."""

    def changed(self, _: Sequence[Record]) -> None:
        """Nobody else wants to know."""
