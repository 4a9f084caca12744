"""Number plates as GA 36-2018 has them (A4): read, named, normalised; never silently corrected."""

from services.movecar.plates.colors import Color, InvalidColor, parse_color
from services.movecar.plates.grammar import Kind, default_colors
from services.movecar.plates.plate import InvalidPlate, Plate, PlateFault, parse

__all__ = [
    "Color",
    "InvalidColor",
    "InvalidPlate",
    "Kind",
    "Plate",
    "PlateFault",
    "default_colors",
    "parse",
    "parse_color",
]
