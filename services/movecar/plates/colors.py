"""Plate colours: the codes of the public API, and the Chinese words people type for them."""

import unicodedata
from enum import StrEnum


class Color(StrEnum):
    """Background of a plate. The values are public API codes."""

    BLUE = "blue"
    YELLOW = "yellow"
    GREEN = "green"
    YELLOW_GREEN = "yellow_green"
    WHITE = "white"
    BLACK = "black"

    @property
    def chinese(self) -> str:
        """The word shown to operators, e.g. `黄绿`."""
        return _CHINESE[self]


_CHINESE = {
    Color.BLUE: "蓝",
    Color.YELLOW: "黄",
    Color.GREEN: "绿",
    Color.YELLOW_GREEN: "黄绿",
    Color.WHITE: "白",
    Color.BLACK: "黑",
}
# 渐变绿 and 黄绿双拼 are what the police's own exports call the two new-energy backgrounds.
_WORDS = [
    *((word, color) for color, word in _CHINESE.items()),
    ("渐变绿", Color.GREEN),
    ("黄绿双拼", Color.YELLOW_GREEN),
]
_BY_WORD = {str(color): color for color in Color} | {
    word + ending: color for word, color in _WORDS for ending in ("", "色", "牌", "色牌", "底")
}
_MAX_LENGTH = 16


class InvalidColor(ValueError):
    """Not the name of a plate colour. The message is for operators and repeats nothing of the input."""

    def __init__(self) -> None:
        super().__init__("车牌颜色应为蓝、黄、绿、黄绿、白、黑之一")


def parse_color(text: str) -> Color:
    """Read a colour: an API code or 蓝 黄 绿 黄绿 白 黑, with or without 色, 牌 or 底 after it.

    Raises InvalidColor.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidColor
    color = _BY_WORD.get(unicodedata.normalize("NFKC", text).strip(" ").lower())
    if color is None:
        raise InvalidColor
    return color
