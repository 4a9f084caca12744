import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.speech import CHARACTERS, MAX_TOKENS, UnspeakablePlateError, speak
from services.outbound.prompts import GREETING, SEGMENTS


def test_greeting_segments_are_the_contracts_words_with_110_read_digit_by_digit() -> None:
    spoken = SEGMENTS["greeting-head"] + "{plate}" + SEGMENTS["greeting-tail"]
    assert spoken == GREETING.replace("110", "幺幺零")


@pytest.mark.parametrize(
    ("plate", "tokens"),
    [
        ("苏D10001", "u82cf-d-1-0-0-0-1"),  # ordinary
        ("苏DF12345", "u82cf-d-f-1-2-3-4-5"),  # new energy
        ("苏D1234警", "u82cf-d-1-2-3-4-u8b66"),  # police
        ("粤Z1234港", "u7ca4-z-1-2-3-4-u6e2f"),  # Hong Kong
        ("使014578", "u4f7f-0-1-4-5-7-8"),  # embassy
        ("苏X1234应急", "u82cf-x-1-2-3-4-u5e94-u6025"),  # emergency rescue
    ],
)
def test_plate_becomes_one_token_per_character(plate: str, tokens: str) -> None:
    assert speak(plate) == tokens


def test_one_is_read_yao_and_zero_ling() -> None:
    assert CHARACTERS["1"] == "幺"
    assert CHARACTERS["0"] == "零"


@given(
    st.text(
        alphabet="".join(chr(int(t[1:], 16)) if t[0] == "u" and len(t) > 1 else t.upper() for t in CHARACTERS)
    )
)
def test_every_token_has_a_prompt_and_only_safe_characters(plate: str) -> None:
    if not 1 <= len(plate) <= MAX_TOKENS:
        with pytest.raises(UnspeakablePlateError):
            speak(plate)
        return
    tokens = speak(plate).split("-")
    assert all(token in CHARACTERS and re.fullmatch("[a-z0-9]{1,8}", token) for token in tokens)


@given(st.characters())
def test_any_character_is_either_spoken_or_named_in_the_error(character: str) -> None:
    try:
        assert speak(character) in CHARACTERS
    except UnspeakablePlateError as error:
        assert f"U+{ord(character):04X}" in str(error)


@pytest.mark.parametrize(
    "plate",
    [
        "",
        "苏D1000a",  # not normalised
        "苏D·10001",  # separator left in
        "苏D10001\r\n",
        "苏D1０001",  # full-width digit
        "苏D10001苏D10",  # eleven characters
        "军A12345",  # goes to a person, never to the dialler
    ],
)
def test_unspeakable_plate_is_refused(plate: str) -> None:
    with pytest.raises(UnspeakablePlateError):
        speak(plate)
