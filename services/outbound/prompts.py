"""Everything an owner can hear: whole phrases, and one prompt per plate character (B2).

The text given here is what a voice has to read, so it is spelled as it sounds. Police usage reads 1 as 幺 in
numbers; 110 is therefore written out in the greeting. A lone character with several readings is replaced by
an unambiguous homophone, because a speech engine that sees 藏 alone says cáng instead of zàng.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

GREETING: Final = "您好，这是公安110挪车服务专线，您是{plate}车主吗？"
"""The contract's wording as it is written and filed (B2); `SEGMENTS` holds it as it is read out."""

SEGMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "greeting-head": "您好，这是公安幺幺零挪车服务专线，您是",
        "greeting-tail": "车主吗？",
        "menu": "马上挪车请按1，不是您的车或有异议请按2，无法挪车请按3，转人工请按0。",
        "goodbye-agreed": "谢谢您的配合，请尽快挪车，再见。",
        "goodbye-disputed": "您的情况已记录，将转交公安幺幺零处理，再见。",
        "goodbye-refused": "已记录您暂时无法挪车，将转交公安幺幺零处理，再见。",
        "goodbye-operator": "已为您登记，人工坐席将尽快与您联系，再见。",
        "goodbye-silent": "没有收到您的按键，稍后将再次与您联系，再见。",
    }
)
"""Whole phrases: file name without extension → the text to read."""

PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
SPECIAL: Final = "警学挂港澳使领应急"
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS: Final[Mapping[str, str]] = MappingProxyType(
    dict(zip("0123456789", "零幺二三四五六七八九", strict=True))
)

HOMOPHONES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "藏": "葬",  # zàng, as in 西藏; alone it is read cáng
        "蒙": "猛",  # měng, as in 内蒙古; alone it is read méng
        "应": "映",  # yìng, as in 应急; alone it is read yīng
    }
)

MAX_TOKENS: Final = 10
"""Longest plate the dialplan will read; a Chinese plate has at most 8 characters."""


class UnspeakablePlateError(ValueError):
    """The plate cannot be read out: it is empty, too long, or has a character without a prompt."""


def _token(character: str) -> str:
    return character.lower() if character.isascii() else f"u{ord(character):x}"


def _catalogue() -> dict[str, str]:
    hanzi = {character: HOMOPHONES.get(character, character) for character in PROVINCES + SPECIAL}
    letters = {letter: letter for letter in LETTERS}
    return {_token(character): text for character, text in {**hanzi, **letters, **DIGITS}.items()}


CHARACTERS: Final[Mapping[str, str]] = MappingProxyType(_catalogue())
"""Plate characters: token → the text to read. The prompt file of token `t` is `c-t`."""

_TOKENS: Final[Mapping[str, str]] = MappingProxyType(
    {character: _token(character) for character in PROVINCES + SPECIAL + LETTERS + "".join(DIGITS)}
)


def speak(plate: str) -> str:
    """The prompt tokens of a normalised plate, joined by `-`, as the dialplan takes them (B2).

    `speak("苏D10001")` is `u82cf-d-1-0-0-0-1`. Raises `UnspeakablePlateError`; the message names the code
    point and its position but never the plate, so that it may be logged.
    """
    if not 1 <= len(plate) <= MAX_TOKENS:
        raise UnspeakablePlateError(f"a plate has 1 to {MAX_TOKENS} characters, this one has {len(plate)}")
    tokens = []
    for position, character in enumerate(plate, start=1):
        token = _TOKENS.get(character)
        if token is None:
            raise UnspeakablePlateError(
                f"no prompt for U+{ord(character):04X} at position {position} of the plate"
            )
        tokens.append(token)
    return "-".join(tokens)
