"""What a registry says: the choice among colours, and what is kept of names and numbers."""

import sys
import unicodedata

import pytest

from services.movecar.plates import Color, parse
from services.movecar.registry.answers import (
    MAX_OWNER,
    Ambiguous,
    Answer,
    Found,
    NotFound,
    Vehicle,
    callable_phones,
    decide,
    owner_name,
)


def vehicle(color: Color) -> Vehicle:
    return Vehicle(parse("苏D88888"), color, "王建国", ("13905190001",))


BLUE, YELLOW = vehicle(Color.BLUE), vehicle(Color.YELLOW)


@pytest.mark.parametrize(
    ("vehicles", "color", "answer"),
    [
        # nobody has the plate, whatever colour is asked for
        ([], None, NotFound()),
        ([], Color.BLUE, NotFound()),
        # one vehicle, colour unknown or right
        ([BLUE], None, Found(BLUE)),
        ([BLUE], Color.BLUE, Found(BLUE)),
        # one vehicle of another colour: not it, but worth telling
        ([BLUE], Color.YELLOW, NotFound((Color.BLUE,))),
        # two of them: the colour decides, and without it somebody must
        ([BLUE, YELLOW], Color.YELLOW, Found(YELLOW)),
        ([BLUE, YELLOW], None, Ambiguous((Color.BLUE, Color.YELLOW))),
        ([BLUE, YELLOW], Color.BLACK, NotFound((Color.BLUE, Color.YELLOW))),
    ],
)
def test_the_colour_decides_where_a_plate_exists_twice(
    vehicles: list[Vehicle], color: Color | None, answer: Answer
) -> None:
    assert decide(vehicles, color) == answer


def test_a_printed_vehicle_shows_neither_owner_nor_number() -> None:
    printed = repr(Found(BLUE))
    assert "王" not in printed
    assert "139" not in printed


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # a person, with the spaces of a fixed-width export
        (" 王建国　", "王建国"),
        # a company with an ampersand and brackets: kept, as full-width text
        ("A&B物流(常州)有限公司", "A＆B物流（常州）有限公司"),
        # what a dialplan or a spreadsheet would act on
        ("=${EXTEN},'x'", "＝＄｛EXTEN｝，＇x＇"),
        # a Uyghur name with its dot
        ("阿不都·热合曼", "阿不都·热合曼"),
        # a rare character that an old system had no code for
        ("王\ue123", "王〓"),
        # a combining accent is put together
        ("Jose\u0301", "José"),
        # the longest
        ("王" * MAX_OWNER, "王" * MAX_OWNER),
    ],
)
def test_an_owners_name_is_kept_harmless(text: str, name: str) -> None:
    assert owner_name(text) == name


@pytest.mark.parametrize("text", ["", " ", "　", "王" * (MAX_OWNER + 1)])
def test_an_empty_or_endless_name_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="owner"):
        owner_name(text)


def test_no_control_or_invisible_character_gets_into_a_name() -> None:
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Cs"}:
            with pytest.raises(ValueError, match="owner"):
                owner_name(f"王{chr(code)}国")


def test_numbers_keep_their_order_once_each_and_the_refused_are_counted() -> None:
    given = ["0519-81997328", "13905190001", "110", "+86 139 0519 0001", "", "0519-81997327", "13905190002"]
    phones, refused = callable_phones(given, own={"051981997327"})
    assert phones == ("051981997328", "13905190001", "13905190002")
    assert [error.reason for error in refused] == ["short_code", "empty", "own"]
