"""Masks of personal data (E2)."""

import pytest

from services.movecar.masking import mask_name


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        # a person with two and with one given character: the length is not told
        ("王小明", "王**"),
        ("李雷", "李**"),
        # a company
        ("常州某某运输有限公司", "常**"),
        # a Latin name, with a space before it
        (" John Smith", "J**"),
        # nothing known
        ("", "**"),
    ],
)
def test_a_name_shows_its_first_character_only(name: str, masked: str) -> None:
    assert mask_name(name) == masked
