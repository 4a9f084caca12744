"""How a vehicle is put into a row of the local registry and taken out again (E3)."""

import orjson

from services.common.crypto import Keys, SealBroken
from services.common.phones import InvalidPhone, parse_chinese
from services.movecar.plates import Color, InvalidPlate, Plate, parse
from services.movecar.registry.answers import Vehicle

_INDEX_KIND = "registry_plate"


def plate_index(keys: Keys, plate: Plate) -> bytes:
    """Return the blind index under which a plate's vehicles are kept."""
    return bytes.fromhex(keys.index(_INDEX_KIND, plate.text))


def seal_vehicle(keys: Keys, index: bytes, vehicle: Vehicle) -> str:
    """Seal plate, owner and numbers together: one seal a row, and no field can be moved to another row."""
    content = {
        "plate": vehicle.plate.text,
        "owner": vehicle.owner,
        "phones": vehicle.phones,
        "dropped": vehicle.dropped_phones,
    }
    return keys.seal(orjson.dumps(content).decode(), _context(index, vehicle.color))


def open_vehicle(keys: Keys, index: bytes, color: Color, sealed: str) -> Vehicle:
    """Open a row. Raises SealBroken when it was changed, moved, or sealed with another key."""
    content = orjson.loads(keys.open(sealed, _context(index, color)))
    try:
        plate = parse(content["plate"])
        phones = tuple(parse_chinese(digits).digits for digits in content["phones"])
    except (InvalidPlate, InvalidPhone) as error:
        # Authentic, yet no longer valid: the rules have become stricter since the load.
        raise SealBroken("the row was loaded under older rules; load the registry again") from error
    return Vehicle(plate, color, content["owner"], phones, content["dropped"])


def _context(index: bytes, color: Color) -> str:
    return f"registry:{index.hex()}:{color}"
