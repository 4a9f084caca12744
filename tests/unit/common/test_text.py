"""Text from outside: what has an honest use passes, what any system behind us may obey does not."""

import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.common.text import Line, Note, Token, UnsafeText, clean, forbidden_character

CONTROLS = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp"}
]
METACHARACTERS = list(",&|;\"'`\\<>{}")


@pytest.mark.parametrize(
    "text",
    [
        "武进区湖塘镇延政中路1号（吾悦广场）南门",  # full-width brackets
        "常州站北广场P2停车场 #12 (B1层)",  # number sign, ASCII brackets
        "车主说：马上来；请稍等，谢谢！",  # the punctuation of Chinese writing
        "门牌 12-3/4，费用 $20 或 ￥20 @ 收费处",  # a price, an at sign
        "A座[东侧] 50% + 1 = ? *",
        "·京杭运河· “引号” ‘单引号’ 《书名》…—",
        "𠮷野家门口",  # beyond the basic plane
        "é è ü ñ",
    ],
)
def test_ordinary_text_passes_unchanged(text: str) -> None:
    assert clean(text) == text


@given(st.sampled_from(CONTROLS), st.text("路口abc", max_size=5), st.text("路口abc", max_size=5))
def test_no_control_or_invisible_character_passes_anywhere(bad: str, before: str, after: str) -> None:
    with pytest.raises(UnsafeText, match=f"U\\+{ord(bad):04X}"):
        clean(before + bad + after)


def test_every_control_and_invisible_character_is_refused() -> None:
    assert [bad for bad in CONTROLS if forbidden_character(f"路{bad}口") != bad] == []


@pytest.mark.parametrize("bad", METACHARACTERS)
def test_no_separator_or_quote_passes(bad: str) -> None:
    with pytest.raises(UnsafeText, match=f"U\\+{ord(bad):04X}"):
        clean(f"路{bad}口")


@pytest.mark.parametrize(
    "text",
    [
        "${CHANNEL}",  # a dialplan variable
        "$(reboot)",  # a shell's command
        "$[1+1]",  # a dialplan expression
        "费用 $(20)",  # the same inside ordinary text
    ],
)
def test_no_expression_of_dialplan_or_shell_passes(text: str) -> None:
    with pytest.raises(UnsafeText):
        clean(text)


@given(st.text())
def test_what_passes_is_trimmed_and_holds_nothing_forbidden(text: str) -> None:
    try:
        cleaned = clean(text)
    except UnsafeText:
        return
    assert cleaned == cleaned.strip()
    assert forbidden_character(cleaned) is None
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("kind", "text", "passes"),
    [
        (Line, "延政中路", True),
        (Line, "  延政中路 ", True),
        (Line, "", False),
        (Line, " 　 ", False),  # spaces alone, the ideographic one too, say nothing
        (Line, "路" * 200, True),
        (Line, "路" * 201, False),
        (Line, "路\n", False),  # a line end is refused, not trimmed away
        (Note, "", True),
        (Note, "注" * 1000, True),
        (Note, "注" * 1001, False),
        (Note, "第一行\n第二行", False),
        (Token, "handled_by_110", True),
        (Token, "Handled", False),
        (Token, "a" * 41, False),
        (Token, "moved\n", False),
        (Token, "1moved", False),
    ],
)
def test_kinds_of_text(kind: Any, text: str, passes: bool) -> None:
    adapter = TypeAdapter(kind)
    if passes:
        assert adapter.validate_python(text) == text.strip()
    else:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
