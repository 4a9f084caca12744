"""Masks of personal data (E2)."""

import pytest

from services.movecar.masks import mask_name


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        # a person with two and with one given character: the length is not told
        ("王小明", "王**"),
        ("李雷", "李**"),
        # a compound surname is no company
        ("欧阳小明", "欧**"),
        # a company keeps its city
        ("常州某某运输有限公司", "常州**"),
        # nothing known
        ("", "**"),
    ],
)
def test_a_name_shows_only_how_it_begins(name: str, masked: str) -> None:
    assert mask_name(name) == masked
