"""What a plate of each kind looks like (A4): one expression and one set of colours a kind.

Strict where GA 36-2018 is: the province characters (table 2), no I or O in a serial (5.9), at most two
letters among the five of an ordinary serial (table 4), the place and range of the energy letter (tables 5
and 6). Where it is not, or where older plates are still on the road, a plate is let through: the registry
is the judge of what exists, and an operator who cannot enter a real plate cannot help at all.
"""

import re
from enum import StrEnum

from services.movecar.plates.colors import Color

PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"


class Kind(StrEnum):
    """Kinds of plate this service knows. The values appear in the API and in reports."""

    ORDINARY = "ordinary"
    NEW_ENERGY_SMALL = "new_energy_small"
    NEW_ENERGY_LARGE = "new_energy_large"
    POLICE = "police"
    TRAINING = "training"
    TRAILER = "trailer"
    HONG_KONG = "hong_kong"
    MACAO = "macao"
    EMBASSY = "embassy"
    CONSULATE = "consulate"
    EMERGENCY = "emergency"
    MILITARY = "military"
    ARMED_POLICE = "armed_police"


# The issuing office. O belongs to the provincial offices (appendix A), chiefly on police cars; I to nobody.
_OFFICE = f"[{PROVINCES}][A-HJ-Z]"
_SERIAL = "[0-9A-HJ-NP-Z]"
# A without I; D A B C E are purely electric, F G H J K are the others.
_ENERGY = "[A-HJK]"
_AT_MOST_TWO_LETTERS = "(?!(?:[0-9]*[A-Z]){3})"
# Services and regions of the two-letter series. D is left out on purpose: a new-energy plate typed
# without its province ("DD12345") must be refused, not taken for the army's.
_ARMY_LETTERS = "[ABCEGHJKLNSVZ]"
_ARMY_WORDS = "[军海空北沈兰济南广成]"
_GUARD_CORPS = "[消边通森金警电水]"

_SHAPES = {
    Kind.ORDINARY: f"{_OFFICE}{_AT_MOST_TWO_LETTERS}{_SERIAL}{{5}}",
    Kind.NEW_ENERGY_SMALL: f"{_OFFICE}{_ENERGY}{_SERIAL}[0-9]{{4}}",
    Kind.NEW_ENERGY_LARGE: f"{_OFFICE}[0-9]{{5}}{_ENERGY}",
    Kind.POLICE: f"{_OFFICE}{_SERIAL}{{4}}警",
    Kind.TRAINING: f"{_OFFICE}{_SERIAL}{{4}}学",
    Kind.TRAILER: f"{_OFFICE}{_SERIAL}{{4}}挂",
    Kind.HONG_KONG: f"粤Z{_SERIAL}{{4}}港",
    Kind.MACAO: f"粤Z{_SERIAL}{{4}}澳",
    # Three digits of the mission and three of the car; 使 moved from the front to the end in 2017.
    Kind.EMBASSY: "使[0-9]{6}|[0-9]{6}使",
    Kind.CONSULATE: f"{_OFFICE}[0-9]{{4}}领|[{PROVINCES}][0-9]{{5}}领",
    # The rescue corps' letter (X fire, S forest) or, for the ministry itself, a fifth digit; motorcycles.
    Kind.EMERGENCY: f"[{PROVINCES}][A-HJ-NP-Z0-9][0-9]{{4}}应急|应急[{PROVINCES}][0-9]{{3}}[A-HJ-NP-Z]",
    Kind.MILITARY: f"(?:{_ARMY_LETTERS}|{_ARMY_WORDS})[A-HJ-NP-Z][0-9]{{4}}{_SERIAL}",
    Kind.ARMED_POLICE: f"WJ(?:[{PROVINCES}]?[0-9]{{4}}{_SERIAL}?|[0-9]{{2}}{_GUARD_CORPS}?[0-9]{{4,5}})",
}
SHAPES = {kind: re.compile(shape) for kind, shape in _SHAPES.items()}

# Black beside blue and yellow: foreigners' cars registered before 2007 kept it, with an ordinary text.
_COLORS = {
    Kind.ORDINARY: (Color.BLUE, Color.YELLOW, Color.BLACK),
    Kind.NEW_ENERGY_SMALL: (Color.GREEN,),
    Kind.NEW_ENERGY_LARGE: (Color.YELLOW_GREEN,),
    Kind.POLICE: (Color.WHITE,),
    Kind.TRAINING: (Color.YELLOW,),
    Kind.TRAILER: (Color.YELLOW,),
    Kind.HONG_KONG: (Color.BLACK,),
    Kind.MACAO: (Color.BLACK,),
    Kind.EMBASSY: (Color.BLACK,),
    Kind.CONSULATE: (Color.BLACK,),
    Kind.EMERGENCY: (Color.WHITE,),
    Kind.MILITARY: (Color.WHITE,),
    Kind.ARMED_POLICE: (Color.WHITE,),
}


def default_colors(kind: Kind) -> tuple[Color, ...]:
    """Colours a plate of this kind can have, the commonest first; where there are two, ask."""
    return _COLORS[kind]


def kind_of(text: str) -> Kind | None:
    """Kind of a normalised text, or None when it is no plate. No text fits two kinds."""
    return next((kind for kind, shape in SHAPES.items() if shape.fullmatch(text)), None)
