"""Rows of the local registry: what is in them opens only where it belongs (E3)."""

import pytest

from services.common.crypto import Keys, SealBroken
from services.movecar.plates import Color, parse
from services.movecar.registry.answers import Vehicle
from services.movecar.registry.sealing import open_vehicle, plate_index, seal_vehicle

VEHICLE = Vehicle(parse("苏D10001"), Color.BLUE, "王建国", ("13905190001", "051981997328"), 1)


def test_a_sealed_vehicle_opens_as_it_was(keys: Keys) -> None:
    index = plate_index(keys, VEHICLE.plate)
    assert open_vehicle(keys, index, Color.BLUE, seal_vehicle(keys, index, VEHICLE)) == VEHICLE


def test_a_seal_copied_to_another_plate_or_colour_does_not_open(keys: Keys) -> None:
    index = plate_index(keys, VEHICLE.plate)
    sealed = seal_vehicle(keys, index, VEHICLE)
    with pytest.raises(SealBroken):
        open_vehicle(keys, plate_index(keys, parse("苏D10002")), Color.BLUE, sealed)
    with pytest.raises(SealBroken):
        open_vehicle(keys, index, Color.YELLOW, sealed)


def test_another_key_opens_nothing_and_finds_nothing(keys: Keys) -> None:
    other = Keys.from_secret("another root secret that is long enough too")
    index = plate_index(keys, VEHICLE.plate)
    assert plate_index(other, VEHICLE.plate) != index
    with pytest.raises(SealBroken):
        open_vehicle(other, index, Color.BLUE, seal_vehicle(keys, index, VEHICLE))


def test_a_number_no_longer_allowed_breaks_the_row_instead_of_being_called(keys: Keys) -> None:
    index = plate_index(keys, VEHICLE.plate)
    old = Vehicle(VEHICLE.plate, Color.BLUE, "王建国", ("051995588",))
    with pytest.raises(SealBroken, match="older rules"):
        open_vehicle(keys, index, Color.BLUE, seal_vehicle(keys, index, old))
