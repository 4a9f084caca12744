"""A greeting as it is filed and as it is read out."""

from typing import Final

from services.common.speech import DIGITS

PLATE: Final = "{plate}"
MAX_GREETING: Final = 200
"""Characters of a greeting; about 40 seconds of speech."""
_SPOKEN: Final = str.maketrans(dict(DIGITS))


class BadGreeting(ValueError):
    """The greeting cannot be filed; the message says why, in the user's language."""


def check_greeting(greeting: str) -> str:
    """Return a greeting that names the plate once, with something before and after it. Raises BadGreeting."""
    if len(greeting) > MAX_GREETING:
        raise BadGreeting(f"最多 {MAX_GREETING} 个字符")
    if greeting.count(PLATE) != 1:
        raise BadGreeting("问候语必须包含且只包含一次 {plate}")
    rest = greeting.replace(PLATE, "")
    bad = next((one for one in rest if not (one.isalnum() or one in _PUNCTUATION)), None)
    if bad is not None:
        raise BadGreeting(f"不能包含字符 U+{ord(bad):04X}，请使用中文标点")
    if not all(any(one.isalnum() for one in part) for part in greeting.split(PLATE)):
        raise BadGreeting("{plate} 前后都应有文字")
    return greeting


_PUNCTUATION: Final = frozenset("，。？！、：；—…“”‘’（）《》· ")


def segments(greeting: str) -> dict[str, str]:
    """Return the greeting's prompts: file name without extension → the text to read.

    Digits are read one by one, as the police read numbers: 110 is 幺幺零 (B2).
    """
    head, _, tail = greeting.partition(PLATE)
    return {"greeting-head": head.translate(_SPOKEN), "greeting-tail": tail.translate(_SPOKEN)}
