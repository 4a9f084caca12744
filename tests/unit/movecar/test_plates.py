"""Plates (A4): tables of real-looking cases per kind, and properties over any text."""

import contextlib
import sys
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.movecar.plates import (
    Color,
    InvalidColor,
    InvalidPlate,
    Kind,
    Plate,
    PlateFault,
    default_colors,
    parse,
    parse_color,
)
from services.movecar.plates.grammar import SHAPES

# The machine may be busy with other tests: how long an example takes says nothing here.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

plates = st.sampled_from(list(SHAPES)).flatmap(lambda kind: st.from_regex(SHAPES[kind], fullmatch=True))
plate_like = st.text(
    alphabet="苏粤京使领警学挂港澳应急军空临试OIl0189ADFKXWJ·. -—　１Ａdf\u200b\u2028\x00\x7f\n", max_size=12
)

VALID = [
    # ordinary: five digits, as most plates of a middle-sized city
    ("苏D10001", Kind.ORDINARY),
    # one letter, first, in the middle and last
    ("苏DA1234", Kind.ORDINARY),
    ("苏D12A34", Kind.ORDINARY),
    ("苏D1234A", Kind.ORDINARY),
    # two letters, side by side and apart
    ("浙AP9K75", Kind.ORDINARY),
    ("京QZ8R66", Kind.ORDINARY),
    # the letter O issues for provincial offices (appendix A)
    ("苏O00001", Kind.ORDINARY),
    # small new energy: D purely electric, letter third
    ("苏DD12345", Kind.NEW_ENERGY_SMALL),
    # F: not purely electric, with the second letter allowed beside it
    ("沪AFA1234", Kind.NEW_ENERGY_SMALL),
    # the letters added when D and F ran out, at both ends of the range
    ("粤BA00001", Kind.NEW_ENERGY_SMALL),
    ("粤BK99999", Kind.NEW_ENERGY_SMALL),
    # large new energy: letter last
    ("苏D12345D", Kind.NEW_ENERGY_LARGE),
    ("苏D12345F", Kind.NEW_ENERGY_LARGE),
    # police, also of a provincial office
    ("苏D1234警", Kind.POLICE),
    ("苏O0023警", Kind.POLICE),
    # driving school
    ("苏D1234学", Kind.TRAINING),
    # trailer, with a letter
    ("苏DA123挂", Kind.TRAILER),
    # Hong Kong and Macao cars, always 粤Z
    ("粤Z1234港", Kind.HONG_KONG),
    ("粤ZV12C港", Kind.HONG_KONG),
    ("粤ZF023澳", Kind.MACAO),
    # embassy: before and since 2017
    ("使014578", Kind.EMBASSY),
    ("224578使", Kind.EMBASSY),
    # consulate: with the office's letter, and the standard's mission + number
    ("沪A0023领", Kind.CONSULATE),
    ("沪22401领", Kind.CONSULATE),
    # fire and forest rescue; the ministry's own; a motorcycle
    ("苏A1234应急", Kind.EMERGENCY),
    ("京X2345应急", Kind.EMERGENCY),
    ("京12345应急", Kind.EMERGENCY),
    ("应急苏123X", Kind.EMERGENCY),
    # army: a region's word and letter, the words since reform, the two-letter series
    ("南A12345", Kind.MILITARY),
    ("军A12345", Kind.MILITARY),
    ("空E1234A", Kind.MILITARY),
    ("VA12345", Kind.MILITARY),
    # armed police: with the province, with its number, with a corps
    ("WJ苏1234X", Kind.ARMED_POLICE),
    ("WJ0112345", Kind.ARMED_POLICE),
    ("WJ31消0010", Kind.ARMED_POLICE),
]


@pytest.mark.parametrize(("text", "kind"), VALID)
def test_a_plate_of_each_kind_is_recognised(text: str, kind: Kind) -> None:
    plate = parse(text)
    assert (plate.text, plate.kind, plate.colors) == (text, kind, default_colors(kind))


def test_the_table_has_every_kind() -> None:
    assert {kind for _, kind in VALID} == set(Kind)


@pytest.mark.parametrize(
    "typed",
    [
        # lower case
        "苏d1a001",
        # the dot as printed, and with spaces round it
        "苏D·1A001",
        "苏D · 1A001",
        # full-width letters, digits and space
        "苏Ｄ１Ａ００１",
        "苏Ｄ　１Ａ００１",
        # dots of input methods: full stop, katakana dot and its half-width form, bullet, ideographic stop
        "苏D.1A001",
        "苏D・1A001",
        "苏D･1A001",
        "苏D•1A001",
        "苏D。1A001",
        # dashes: hyphen, non-breaking hyphen, en and em dash, minus
        "苏D-1A001",
        "苏D\u20111A001",
        "苏D–1A001",
        "苏D—1A001",
        "苏D\u22121A001",
        # no-break and thin space
        "苏D\u00a01A001",
        "苏D\u20091A001",
        # circled digit, which NFKC calls a digit
        "苏D①A001",
    ],
)
def test_width_case_and_separators_do_not_matter(typed: str) -> None:
    assert parse(typed).text == "苏D1A001"


@pytest.mark.parametrize(
    ("typed", "reason", "suggestion"),
    [
        # nothing, and nothing but separators
        ("", PlateFault.EMPTY, None),
        (" ·- ", PlateFault.EMPTY, None),
        # O for 0, I for 1, both: suggested, never taken
        ("苏D1O001", PlateFault.LOOKALIKE, "苏D10001"),
        ("苏DI0001", PlateFault.LOOKALIKE, "苏D10001"),
        ("苏d·ioo0i", PlateFault.LOOKALIKE, "苏D10001"),
        # the same in a new-energy, a police, an embassy, a consulate and an emergency plate
        ("苏DD1234O", PlateFault.LOOKALIKE, "苏DD12340"),
        ("苏D1O34警", PlateFault.LOOKALIKE, "苏D1034警"),
        ("使O14578", PlateFault.LOOKALIKE, "使014578"),
        ("沪AOO23领", PlateFault.LOOKALIKE, "沪A0023领"),
        ("京X234I应急", PlateFault.LOOKALIKE, "京X2341应急"),
        # the office's own O is kept while the serial's is suggested
        ("苏OO0001", PlateFault.LOOKALIKE, "苏O00001"),
        # O where no digit can stand: no plate results, so nothing is suggested
        ("苏DOABC1", PlateFault.LOOKALIKE, None),
        # I is no issuing office, and 1 would be none either
        ("苏I12345", PlateFault.OFFICE, None),
        # digit for the office's letter
        ("苏012345", PlateFault.OFFICE, None),
        # a province alone
        ("苏", PlateFault.OFFICE, None),
        # no province, or a character that is none
        ("D10001", PlateFault.PROVINCE, None),
        ("州D10001", PlateFault.PROVINCE, None),
        # a new-energy plate without its province is not the army's
        ("DD12345", PlateFault.PROVINCE, None),
        # one too few, one too many
        ("苏D1000", PlateFault.LENGTH, None),
        ("苏D1000123", PlateFault.LENGTH, None),
        # far too long, before any work is done on it
        ("苏" * 5000, PlateFault.LENGTH, None),
        # three letters in an ordinary serial (table 4 has at most two)
        ("苏DABC12", PlateFault.LETTERS, None),
        # eight characters, but no energy letter at either end; L is beyond K; I is left out of A-K
        ("苏D123456", PlateFault.ENERGY, None),
        ("苏DL12345", PlateFault.ENERGY, None),
        ("苏D12345L", PlateFault.ENERGY, None),
        # small new energy with a letter among the last four
        ("苏DD1A234", PlateFault.ENERGY, None),
        # Hong Kong plates exist in 粤Z only
        ("苏D1234港", PlateFault.SERIAL, None),
        # 警 in the middle
        ("苏D12警34", PlateFault.SERIAL, None),
        # temporary plates carry no owner's number
        ("苏D临1234", PlateFault.TEMPORARY, None),
        # punctuation that means something elsewhere
        ("苏D1000;", PlateFault.CHARACTER, None),
        ("苏D1,001", PlateFault.CHARACTER, None),
        ("苏D${1}1", PlateFault.CHARACTER, None),
        ("苏D'1001", PlateFault.CHARACTER, None),
        # tab and line feed are no separators
        ("苏D\t10001", PlateFault.CHARACTER, None),
        ("苏D10001\n", PlateFault.CHARACTER, None),
        # Cyrillic А and Arabic-Indic ١ look right and are not
        ("苏D\u0410" + "0001", PlateFault.CHARACTER, None),
        ("苏D\u0661" + "0001", PlateFault.CHARACTER, None),
        # the dotless i must not become I by way of upper()
        ("苏D\u0131" + "0001", PlateFault.CHARACTER, None),
        # a lone surrogate
        ("苏D\ud8000001", PlateFault.CHARACTER, None),
    ],
)
def test_what_is_no_plate_says_why(typed: str, reason: PlateFault, suggestion: str | None) -> None:
    with pytest.raises(InvalidPlate) as refused:
        parse(typed)
    assert (refused.value.reason, refused.value.suggestion) == (reason, suggestion)


def test_the_refusal_repeats_nothing_of_the_input() -> None:
    with pytest.raises(InvalidPlate) as refused:
        parse("苏D1O001")
    assert "苏D" not in str(refused.value)
    assert refused.value.message == str(refused.value)


@UNHURRIED
@given(plates)
def test_every_plate_of_the_grammar_is_read_back_from_its_own_text(text: str) -> None:
    plate = parse(text)
    assert parse(str(plate)) == plate


@UNHURRIED
@given(plates, st.sampled_from(["", " ", "·", "-", "　", "."]))
def test_reading_is_idempotent_under_separators_case_and_width(text: str, separator: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isascii() else c for c in text)
    assert parse(separator.join(text)) == parse(text.lower()) == parse(wide) == parse(text)


@UNHURRIED
@given(plates)
def test_no_text_is_a_plate_of_two_kinds(text: str) -> None:
    assert sum(shape.fullmatch(text) is not None for shape in SHAPES.values()) == 1


@UNHURRIED
@given(st.one_of(st.text(max_size=40), plate_like))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        plate = parse(text)
    except InvalidPlate as refused:
        if refused.suggestion is not None:
            assert parse(refused.suggestion).text == refused.suggestion
            assert not set(refused.suggestion[2:]) & set("OI")
    else:
        assert parse(plate.text) == plate
        assert not set(plate.text[2:]) & set("OI")


@UNHURRIED
@given(plates, st.data())
def test_a_letter_o_in_a_serial_is_never_taken_for_a_zero(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(2, len(text) - 1))
    with pytest.raises(InvalidPlate):
        parse(text[:place] + data.draw(st.sampled_from("OIoi")) + text[place + 1 :])


UNPRINTABLE = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Cs"}
]


def test_every_control_and_format_character_is_refused_wherever_it_stands() -> None:
    for character in UNPRINTABLE:
        for text in (character + "苏D10001", "苏D" + character + "10001", "苏D10001" + character):
            with pytest.raises(InvalidPlate):
                parse(text)


@pytest.mark.parametrize(
    ("typed", "color"),
    [
        # the public codes, in any case
        ("blue", Color.BLUE),
        ("Yellow_Green", Color.YELLOW_GREEN),
        # one word each, as people say it
        ("蓝", Color.BLUE),
        ("黄", Color.YELLOW),
        ("绿", Color.GREEN),
        ("黄绿", Color.YELLOW_GREEN),
        ("白", Color.WHITE),
        ("黑", Color.BLACK),
        # with an ending
        ("蓝色", Color.BLUE),
        ("黄牌", Color.YELLOW),
        # the exports' names of the new-energy backgrounds
        ("渐变绿", Color.GREEN),
        ("黄绿双拼色", Color.YELLOW_GREEN),
    ],
)
def test_colours_are_read_as_codes_and_as_chinese(typed: str, color: Color) -> None:
    assert parse_color(typed) is color
    assert parse_color(color.chinese) is color


@UNHURRIED
@given(st.text(max_size=24))
def test_no_text_does_anything_to_a_colour_but_parse_or_be_refused(text: str) -> None:
    with contextlib.suppress(InvalidColor):
        assert parse_color(text) in Color


@pytest.mark.parametrize(
    ("text", "allowed", "refused"),
    [
        # large and small cars share their texts: both colours, and neither green
        ("苏D10001", [Color.BLUE, Color.YELLOW], [Color.GREEN, Color.WHITE]),
        # new energy: the size decides
        ("苏DD12345", [Color.GREEN], [Color.YELLOW_GREEN, Color.BLUE]),
        ("苏D12345D", [Color.YELLOW_GREEN], [Color.GREEN]),
        ("苏D1234警", [Color.WHITE], [Color.BLUE]),
    ],
)
def test_a_kind_knows_its_colours(text: str, allowed: list[Color], refused: list[Color]) -> None:
    plate = parse(text)
    assert all(map(plate.allows, allowed))
    assert not any(map(plate.allows, refused))


def test_the_forces_plates_go_to_a_person_and_no_others_do() -> None:
    sent = {kind for text, kind in VALID if parse(text).goes_to_person}
    assert sent == {Kind.MILITARY, Kind.ARMED_POLICE}


def test_a_plate_is_a_value() -> None:
    assert parse("苏d·10001") == Plate("苏D10001", Kind.ORDINARY, default_colors(Kind.ORDINARY))
