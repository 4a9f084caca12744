"""Cursors: what was given out is read back, what was made up is a wrong field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.http.paging import read_cursor, write_cursor
from services.common.http.problems import Problem

positions = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))


@given(positions)
def test_a_cursor_is_read_back(position: str) -> None:
    cursor = write_cursor(position)
    assert read_cursor(cursor) == position
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&?# ")


@given(st.text())
def test_a_made_up_cursor_is_refused_or_harmless(cursor: str) -> None:
    try:
        position = read_cursor(cursor)
    except Problem as problem:
        assert (problem.status, (problem.errors or [])[0].field) == (422, "cursor")
    else:
        assert position.isascii()
        assert position.isprintable() or position == ""


@pytest.mark.parametrize(
    "cursor",
    [
        "!",
        "A",  # no base64 has this length
        "路口",
        "gICA",  # not ASCII inside
        "AAAA",  # NUL inside
        "DQo",  # CR LF inside
        "a b",
        "YQ==",  # padded: never given out
        "YR",  # the same position in another spelling
        "\ud800",
    ],
)
def test_a_cursor_never_given_out_is_a_wrong_field(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        read_cursor(cursor)
    assert (caught.value.errors or [])[0].field == "cursor"
