"""The phrases an owner can hear (B2); plates, character by character, are in `services.common.speech`.

The text given here is what a voice has to read, so it is spelled as it sounds: police usage reads 1 as 幺 in
numbers, and 110 is therefore written out in the greeting.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.common.speech import CHARACTERS, DESK_PHRASES

GREETING: Final = "您好，这是公安110挪车服务专线，您是{plate}车主吗？"
"""The contract's wording as it is written and filed (B2); `SEGMENTS` holds it as it is read out."""

SEGMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "greeting-head": "您好，这是公安幺幺零挪车服务专线，您是",
        "greeting-tail": "车主吗？",
        "menu": "马上挪车请按1，不是您的车或有异议请按2，无法挪车请按3，转人工请按0。",
        "hold": "正在为您转接人工坐席，请稍候。",
        "goodbye-agreed": "谢谢您的配合，请尽快挪车，再见。",
        "goodbye-disputed": "您的情况已记录，将转交公安幺幺零处理，再见。",
        "goodbye-refused": "已记录您暂时无法挪车，将转交公安幺幺零处理，再见。",
        "goodbye-operator": "已为您登记，人工坐席将尽快与您联系，再见。",
        "goodbye-seat": "感谢您的接听，再见。",
        "goodbye-silent": "没有收到您的按键，稍后将再次与您联系，再见。",
    }
)
"""Whole phrases: file name without extension → the text to read."""


def shared_texts() -> dict[str, str]:
    """Return every prompt but the scripts' own greetings: file name without extension → the text to read."""
    phrases = {name: text for name, text in SEGMENTS.items() if not name.startswith("greeting-")}
    return {**phrases, **DESK_PHRASES, **{f"c-{token}": text for token, text in CHARACTERS.items()}}
