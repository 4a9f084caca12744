"""Free text from outside: what may be stored, spoken, logged and sent on."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls (CR, LF, NUL, U+0085 …), invisible format marks, surrogates, private use, line separators."""

_METACHARACTERS = frozenset(",&|;\"'`\\<>{}")
_OPENINGS = ("$(", "$[")  # of dialplan and shell expressions; a price in $ is text
"""Separators and quotes of AMI variables, dialplan expressions, shells and mark-up."""


class UnsafeText(ValueError):
    """The text holds a character that may not pass."""


def forbidden_character(text: str) -> str | None:
    """Return the first character that may not enter the system, or None when the text is safe."""
    for character in text:
        if unicodedata.category(character) in _FORBIDDEN_CATEGORIES or character in _METACHARACTERS:
            return character
    return None


def clean(text: str) -> str:
    """Return `text` trimmed.

    Raises UnsafeText naming the code point when a control character, an invisible mark, a quote or one of
    ``, & | ; < > { } $( $[`` is in it: such text has no honest use in a place name or a note, and every
    system behind us (AMI, dialplan, spreadsheets) reads one of them as an instruction. The full-width forms
    ，；of Chinese writing pass.
    """
    bad = forbidden_character(text)
    if bad is None and not any(opening in text for opening in _OPENINGS):
        return text.strip()
    code = f"U+{ord(bad):04X}" if bad is not None else "$"
    raise UnsafeText(f"不能包含字符 {code}，请改用中文标点")


def filled(text: str) -> str:
    """Return `text` unless nothing is left of it. Raises ValueError."""
    if not text:
        raise ValueError("不能为空")
    return text


Line = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(clean), AfterValidator(filled)
]
"""One line of required text, at most 200 characters, e.g. a place."""

Note = Annotated[str, StringConstraints(max_length=1000), AfterValidator(clean)]
"""An optional remark, at most 1,000 characters on one line."""

Token = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A machine-readable code such as a disposition."""
