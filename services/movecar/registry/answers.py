"""What a registry can say to a lookup, and the edge both registries stand behind."""

import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.common.phones import InvalidPhone, callable_number
from services.common.text import forbidden_character
from services.movecar.plates import Color, Plate

MAX_OWNER = 100
"""Longest owner's name, in characters."""
MAX_PHONES = 10
"""Most numbers a vehicle can have; more is a defect of the source."""

# An owner may be "A&B物流": the name is kept, but as full-width text, which no system behind us interprets.
_FULL_WIDTH = {code: code + 0xFEE0 for code in map(ord, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~")}
_PRIVATE_USE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
_UNKNOWN = "〓"


class Outage(StrEnum):
    """Why a registry could not answer. The values are codes for logs and cases and are never renamed."""

    NOT_LOADED = "not_loaded"
    STORAGE = "storage"
    SEAL = "seal"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    STATUS = "status"
    OVERSIZE = "oversize"
    MALFORMED = "malformed"
    WRONG_CASE = "wrong_case"
    WRONG_PLATE = "wrong_plate"
    BREAKER_OPEN = "breaker_open"


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A registered vehicle. Owner and numbers stay out of its printed form (E2)."""

    plate: Plate
    color: Color
    owner: str = field(repr=False)
    phones: tuple[str, ...] = field(repr=False)
    """Numbers that may be called, as dialled within the country, in calling order; possibly none."""
    dropped_phones: int = 0
    """How many more the source gave that may not be called."""


@dataclass(frozen=True, slots=True)
class Found:
    """Exactly one vehicle fits."""

    vehicle: Vehicle


@dataclass(frozen=True, slots=True)
class NotFound:
    """No vehicle fits; with a colour asked for, `colors` are those the plate does exist in."""

    colors: tuple[Color, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The plate exists in several colours and none was given: ask which."""

    colors: tuple[Color, ...]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The registry gave no answer that can be trusted."""

    reason: str
    """An `Outage`, as far as it comes from a registry."""


Answer = Found | NotFound | Ambiguous | Unavailable


class VehicleRegistry(Protocol):
    """The one way to look a vehicle up (A3)."""

    async def lookup(self, plate: Plate, color: Color | None, case_id: str) -> Answer:
        """Look a plate up for an open case. Never raises for the registry's own troubles."""


def decide(vehicles: Sequence[Vehicle], color: Color | None) -> Answer:
    """Choose among the vehicles of one plate, which differ in colour."""
    fitting = [vehicle for vehicle in vehicles if color in (None, vehicle.color)]
    if len(fitting) == 1:
        return Found(fitting[0])
    if not fitting:
        return NotFound(tuple(vehicle.color for vehicle in vehicles))
    return Ambiguous(tuple(vehicle.color for vehicle in fitting))


def owner_name(text: str) -> str:
    """Return an owner's name as kept: trimmed, ASCII punctuation made full-width.

    Raises ValueError when it is empty, longer than MAX_OWNER or holds control or invisible characters.
    """
    name = unicodedata.normalize("NFC", text).strip(" 　").translate(_FULL_WIDTH)
    # Rare characters of names come out of older police systems as private-use code points.
    name = _PRIVATE_USE.sub(_UNKNOWN, name)
    if not 0 < len(name) <= MAX_OWNER or forbidden_character(name) is not None:
        raise ValueError("owner")
    return name


def callable_phones(
    texts: Iterable[str], own: Container[str]
) -> tuple[tuple[str, ...], tuple[InvalidPhone, ...]]:
    """Sort an owner's numbers into those that may be called, each once and in order, and the refusals."""
    phones: dict[str, None] = {}
    refused = []
    for text in texts:
        try:
            phones[callable_number(text, own).digits] = None
        except InvalidPhone as error:
            refused.append(error)
    return tuple(phones), tuple(refused)
