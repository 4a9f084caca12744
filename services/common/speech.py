"""What the telephone system can say beyond one service's phrases: plates, and what the desk is told (B2, C3).

The text given here is what a voice has to read, so it is spelled as it sounds. Police usage reads 1 as 幺 in
numbers. A lone character with several readings is replaced by an unambiguous homophone, because a speech
engine that sees 藏 alone says cáng instead of zàng.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DESK_PHRASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "desk-head": "您好，这是幺幺四挪车服务平台。",
        "desk-drill": "这是一次演练。",
        "desk-escalation": "有一条升级事件尚未接收，",
        "desk-r-dispute": "车主对挪车有异议，",
        "desk-r-emergency_help": "紧急求助，",
        "desk-r-emergency_lane": "应急通道被堵，",
        "desk-r-traffic_violation": "涉嫌交通违法，",
        "desk-r-owner_uncooperative": "车主不配合挪车，",
        "desk-r-authority_questioned": "车主质疑执法身份，",
        "desk-r-unreachable": "无法联系到车主，",
        "desk-r-vehicle_not_found": "查不到车辆信息，",
        "desk-r-registry_unavailable": "车辆信息平台不可用，",
        "desk-plate": "车牌号码，",
        "desk-fault": "挪车服务发生故障，",
        "desk-recovery": "挪车服务已经恢复，",
        "desk-confirm": "确认接收请按幺，详情请看屏幕。",
        "desk-thanks": "已确认，谢谢，再见。",
    }
)
"""What is said on the desk's line: file name without extension → the text to read."""

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
