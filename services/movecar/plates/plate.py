"""Reading a plate as people type it (A4)."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from services.movecar.plates.colors import Color
from services.movecar.plates.grammar import PROVINCES, Kind, default_colors, kind_of

# What stands between the letters of a plate in the wild: spaces, dots of every make, dashes.
_SEPARATORS = frozenset(" ·•‧∙⋅・.。-‐‑‒–—―−_")
_NO_SEPARATORS = {ord(character): None for character in _SEPARATORS}
_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}
_LOOKALIKES = str.maketrans("OI", "01")
_PLATE_CHARACTERS = re.compile("[0-9A-Z\u4e00-\u9fff]+")
_MAX_INPUT = 32
_OFFICE_LENGTH = 2
_ORDINARY_LENGTH = 7
_NEW_ENERGY_LENGTH = 8


class PlateFault(StrEnum):
    """Why a text is no plate. The values are API codes and are never renamed."""

    EMPTY = "empty"
    LENGTH = "length"
    CHARACTER = "character"
    PROVINCE = "province"
    OFFICE = "office"
    LOOKALIKE = "lookalike"
    LETTERS = "letters"
    ENERGY = "energy"
    TEMPORARY = "temporary"
    SERIAL = "serial"


_MESSAGES = {
    PlateFault.EMPTY: "请输入车牌号",
    PlateFault.LENGTH: "车牌号位数不对",
    PlateFault.CHARACTER: "车牌号中有不能使用的字符",
    PlateFault.PROVINCE: "车牌号应以省、自治区、直辖市简称开头",
    PlateFault.OFFICE: "车牌号第二位应为发牌机关字母（不含I）",
    PlateFault.LOOKALIKE: "车牌序号不使用字母O和I，请核对是否为数字0和1",
    PlateFault.LETTERS: "车牌序号中的字母不超过两个",
    PlateFault.ENERGY: "新能源车牌第三位或最后一位应为字母A至K（不含I），其余位置不符合编码规则",
    PlateFault.TEMPORARY: "临时号牌没有登记车主电话，请转人工处理",
    PlateFault.SERIAL: "车牌序号不符合编码规则",
}


class InvalidPlate(ValueError):
    """A text that is no plate: `reason` says why, `suggestion` is the plate that may have been meant.

    A suggestion only ever turns O into 0 and I into 1, and is for a person to accept. The message is for
    operators and repeats nothing of the input.
    """

    def __init__(self, reason: PlateFault, suggestion: str | None = None) -> None:
        super().__init__(_MESSAGES[reason])
        self.reason = reason
        self.suggestion = suggestion

    @property
    def message(self) -> str:
        """One sentence in Chinese, without the suggestion."""
        return _MESSAGES[self.reason]


@dataclass(frozen=True, slots=True)
class Plate:
    """A well-formed plate. Whether such a car exists, only the registry knows."""

    text: str
    """Normalised: upper case, no separators, e.g. `苏D10001`."""
    kind: Kind
    colors: tuple[Color, ...]
    """Colours it can have, the commonest first."""

    def __str__(self) -> str:
        return self.text

    @property
    def goes_to_person(self) -> bool:
        """Whether no registry may be asked: the army's and the armed police's cars are a person's work."""
        return self.kind in (Kind.MILITARY, Kind.ARMED_POLICE)

    def allows(self, color: Color) -> bool:
        """Whether a plate of this kind can have the colour."""
        return color in self.colors


def parse(text: str) -> Plate:
    """Read a plate from any text: width, case and separators don't matter, anything else does.

    Raises InvalidPlate, and nothing else whatever the text.
    """
    kind = kind_of(text)
    if kind is None:  # otherwise there is nothing to normalise: the shapes hold only what stays as it is
        text = _normalised(text)
        kind = kind_of(text)
    if kind is None:
        raise _refusal(text)
    return Plate(text, kind, default_colors(kind))


def _normalised(text: str) -> str:
    if len(text) > _MAX_INPUT:
        raise InvalidPlate(PlateFault.LENGTH)
    normal = unicodedata.normalize("NFKC", text).translate(_NO_SEPARATORS).translate(_UPPER)
    if not normal:
        raise InvalidPlate(PlateFault.EMPTY)
    # Letters and digits of other scripts and everything unprintable end here, before any closer look.
    if not _PLATE_CHARACTERS.fullmatch(normal):
        raise InvalidPlate(PlateFault.CHARACTER)
    return normal


def _has_office(text: str) -> bool:
    return len(text) >= _OFFICE_LENGTH and "A" <= text[1] <= "Z" and text[1] != "I"


# The first that holds of a normalised text which is no plate is the most helpful thing to say about it.
_FINDINGS: tuple[tuple[Callable[[str], bool], PlateFault], ...] = (
    (lambda text: not set(text).isdisjoint("临试超"), PlateFault.TEMPORARY),
    (lambda text: text[0] not in PROVINCES, PlateFault.PROVINCE),
    (lambda text: not _has_office(text), PlateFault.OFFICE),
    (lambda text: not _ORDINARY_LENGTH <= len(text) <= _NEW_ENERGY_LENGTH, PlateFault.LENGTH),
    (lambda text: not set(text[_OFFICE_LENGTH:]).isdisjoint("OI"), PlateFault.LOOKALIKE),
    (lambda text: not text[_OFFICE_LENGTH:].isascii(), PlateFault.SERIAL),
    (lambda text: len(text) == _NEW_ENERGY_LENGTH, PlateFault.ENERGY),
    # Seven letters and digits without O or I: only a third letter is left to be wrong.
    (lambda _: True, PlateFault.LETTERS),
)


def _refusal(text: str) -> InvalidPlate:
    suggestion = _suggestion(text)
    if suggestion is not None:
        return InvalidPlate(PlateFault.LOOKALIKE, suggestion)
    return InvalidPlate(next(fault for applies, fault in _FINDINGS if applies(text)))


def _suggestion(text: str) -> str | None:
    """The plate with 0 for O and 1 for I, where that makes one; the office's own O stays."""
    kept = _OFFICE_LENGTH if text[0] in PROVINCES else 0
    candidate = text[:kept] + text[kept:].translate(_LOOKALIKES)
    return candidate if candidate != text and kind_of(candidate) is not None else None
