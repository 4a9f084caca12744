"""Telephone numbers: tables of what may and may not be called, and properties over any text."""

import string
import sys
import unicodedata

import phonenumbers
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.common.phones import (
    InvalidPhone,
    Phone,
    PhoneFault,
    PhoneKind,
    callable_number,
    mask_phone,
    own_lines,
    parse_chinese,
)

# The machine may be busy with other tests: how long an example takes says nothing here.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

DESK_LINE = "051981997327"


@pytest.mark.parametrize(
    ("typed", "digits", "kind"),
    [
        # a mobile, bare, spaced, dashed, full-width
        ("13905190000", "13905190000", PhoneKind.MOBILE),
        ("139 0519 0000", "13905190000", PhoneKind.MOBILE),
        ("139-0519-0000", "13905190000", PhoneKind.MOBILE),
        ("１３９０５１９００００", "13905190000", PhoneKind.MOBILE),
        # with the country, with and without plus
        ("+86 139 0519 0000", "13905190000", PhoneKind.MOBILE),
        ("＋8613905190000", "13905190000", PhoneKind.MOBILE),
        ("8613905190000", "13905190000", PhoneKind.MOBILE),
        # with the long-distance 0 of old registers
        ("013905190000", "13905190000", PhoneKind.MOBILE),
        # newer segments: 166, 199, 192, and a virtual operator's 170
        ("16605190000", "16605190000", PhoneKind.MOBILE),
        ("19905190000", "19905190000", PhoneKind.MOBILE),
        ("19205190000", "19205190000", PhoneKind.MOBILE),
        ("17005190000", "17005190000", PhoneKind.MOBILE),
        # fixed lines: three-digit area code with eight and with seven digits, two-digit area codes
        ("0519-81997327", "051981997327", PhoneKind.FIXED),
        ("(0519) 8199 7327", "051981997327", PhoneKind.FIXED),
        ("（0519）81997327", "051981997327", PhoneKind.FIXED),
        ("0561-3012345", "05613012345", PhoneKind.FIXED),
        ("010-62345678", "01062345678", PhoneKind.FIXED),
        ("025 8444 1234", "02584441234", PhoneKind.FIXED),
        # a fixed line with the country: the 0 comes back, and is not doubled
        ("+86 519 81997327", "051981997327", PhoneKind.FIXED),
        ("+86 (0519) 81997327", "051981997327", PhoneKind.FIXED),
        ("86 10 62345678", "01062345678", PhoneKind.FIXED),
    ],
)
def test_mainland_numbers_are_normalised_to_what_is_dialled(typed: str, digits: str, kind: PhoneKind) -> None:
    assert parse_chinese(typed) == callable_number(typed) == Phone(digits, kind)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        # nothing
        ("", PhoneFault.EMPTY),
        (" - ", PhoneFault.EMPTY),
        # emergency, directory and hotline numbers
        ("110", PhoneFault.SHORT_CODE),
        ("112", PhoneFault.SHORT_CODE),
        ("114", PhoneFault.SHORT_CODE),
        ("119", PhoneFault.SHORT_CODE),
        ("120", PhoneFault.SHORT_CODE),
        ("122", PhoneFault.SHORT_CODE),
        ("999", PhoneFault.SHORT_CODE),
        ("12345", PhoneFault.SHORT_CODE),
        ("12122", PhoneFault.SHORT_CODE),
        ("10086", PhoneFault.SHORT_CODE),
        # banks and lifts
        ("95588", PhoneFault.SHORT_CODE),
        ("96333", PhoneFault.SHORT_CODE),
        ("95105105", PhoneFault.SHORT_CODE),
        # the same behind an area code, which phonenumbers finds valid
        ("051995588", PhoneFault.SHORT_CODE),
        ("01095588", PhoneFault.SHORT_CODE),
        ("02512345", PhoneFault.SHORT_CODE),
        # ... and behind a country and an area code
        ("+86 25 12345", PhoneFault.SHORT_CODE),
        # our own caller ID, and its neighbours
        ("0519110", PhoneFault.SHORT_CODE),
        ("0519-110", PhoneFault.SHORT_CODE),
        ("0519114", PhoneFault.SHORT_CODE),
        ("+86 519 110", PhoneFault.SHORT_CODE),
        # shared cost, free, premium
        ("400-820-8820", PhoneFault.SERVICE),
        ("8008208820", PhoneFault.SERVICE),
        ("16812345", PhoneFault.SERVICE),
        ("1601234567", PhoneFault.SERVICE),
        # abroad: a plus, a premium number of North America, the international prefix, even with 86 behind it
        ("+1 212 555 0100", PhoneFault.COUNTRY),
        ("+1 900 234 5678", PhoneFault.COUNTRY),
        ("+852 5123 4567", PhoneFault.COUNTRY),
        ("0085251234567", PhoneFault.COUNTRY),
        ("008613905190000", PhoneFault.COUNTRY),
        # a local number: which city's?
        ("81997327", PhoneFault.AREA_CODE),
        ("3012345", PhoneFault.AREA_CODE),
        # mobiles one digit short, one long, of a segment nobody has
        ("1390519000", PhoneFault.NUMBER),
        ("139051900001", PhoneFault.NUMBER),
        ("12005190000", PhoneFault.NUMBER),
        ("15405190000", PhoneFault.NUMBER),
        # machines' SIM cards
        ("1064905190000", PhoneFault.NUMBER),
        # an area code that does not exist; one digit short; one long
        ("0500-81997327", PhoneFault.NUMBER),
        ("0519-8199732", PhoneFault.NUMBER),
        ("0519-819973270", PhoneFault.NUMBER),
        # a mobile behind an area code
        ("0519-13905190000", PhoneFault.NUMBER),
        # extensions in every spelling
        ("0519-81997327转8001", PhoneFault.CHARACTER),
        ("0519-81997327,8001", PhoneFault.CHARACTER),
        ("0519-81997327#8001", PhoneFault.CHARACTER),
        ("0519-81997327;ext=8001", PhoneFault.CHARACTER),
        # star codes, vanity letters, URIs, a plus inside
        ("*21#", PhoneFault.CHARACTER),
        ("1390519OOOO", PhoneFault.CHARACTER),
        ("tel:13905190000", PhoneFault.CHARACTER),
        ("139+05190000", PhoneFault.CHARACTER),
        # dial-string injection
        ("13905190000@trunk", PhoneFault.CHARACTER),
        ("13905190000&SIP/1", PhoneFault.CHARACTER),
        ("${EXTEN}", PhoneFault.CHARACTER),
        # digits of other scripts are no digits here
        ("١٣٩٠٥١٩٠٠٠٠", PhoneFault.CHARACTER),
        # line feed at the end
        ("13905190000\n", PhoneFault.CHARACTER),
        # far too long
        ("1" * 4000, PhoneFault.NUMBER),
    ],
)
def test_everything_else_is_refused_by_reason(typed: str, reason: PhoneFault) -> None:
    with pytest.raises(InvalidPhone) as refused:
        parse_chinese(typed)
    assert refused.value.reason is reason
    assert typed == "" or typed not in refused.value.message
    with pytest.raises(InvalidPhone):
        callable_number(typed)


def test_the_services_own_lines_are_never_called() -> None:
    own = own_lines("0519-81997327")
    assert own == {DESK_LINE}
    with pytest.raises(InvalidPhone) as refused:
        callable_number("+86 519 8199 7327", own)
    assert refused.value.reason is PhoneFault.OWN


def test_a_short_internal_desk_line_is_nobodys_number() -> None:
    assert own_lines("8001") == frozenset()
    assert callable_number("0519-81997328", own={DESK_LINE}).digits == "051981997328"


@pytest.mark.parametrize(
    ("digits", "masked"),
    [
        # a mobile
        ("13905190005", "139****0005"),
        # fixed lines with three-digit area code, eight and seven digits, and a two-digit area code
        ("051981997327", "0519****7327"),
        ("05613012345", "0561****2345"),
        ("01062345678", "010****5678"),
        # anything unknown is hidden altogether
        ("110", "****"),
        ("013905190005", "****"),
        ("not a number", "****"),
        ("", "****"),
    ],
)
def test_a_mask_shows_the_operator_and_the_last_four_digits(digits: str, masked: str) -> None:
    assert mask_phone(digits) == masked


def test_a_phone_never_prints_its_digits() -> None:
    phone = parse_chinese("13905190005")
    assert f"{phone} {phone!r} {[phone]}".count("139051") == 0
    assert str(phone) == phone.masked == "139****0005"


@UNHURRIED
@given(
    st.one_of(st.text(max_size=40), st.text(alphabet=string.digits + "+-() 转#*\u200b\x00\n", max_size=16))
)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        phone = parse_chinese(text)
    except InvalidPhone:
        return
    assert parse_chinese(phone.digits) == phone
    assert phone.digits.isascii()
    assert phone.digits.isdigit()
    assert not phone.digits.startswith(("00", "86"))


@UNHURRIED
@given(st.from_regex(r"0?1[0-9]{10}|0[1-9][0-9]{8,10}", fullmatch=True))
def test_what_is_accepted_is_a_fixed_or_mobile_number_to_phonenumbers_too(text: str) -> None:
    try:
        phone = parse_chinese(text)
    except InvalidPhone:
        return
    number = phonenumbers.parse(phone.digits, "CN")
    assert phonenumbers.is_valid_number(number)
    assert phonenumbers.number_type(number) in {
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.MOBILE,
    }


@example("01080100000")  # begins like a service of the capital's and is a subscriber's
@UNHURRIED
@given(st.from_regex(r"1[3-9][0-9]{9}|0(10|2[0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7}", fullmatch=True))
def test_a_number_is_judged_as_phonenumbers_judges_it_by_itself(digits: str) -> None:
    """The cache asks about one number for all that begin alike; this asks phonenumbers about each."""
    number = phonenumbers.parse(digits, "CN")
    kinds = {
        phonenumbers.PhoneNumberType.MOBILE: PhoneKind.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE: PhoneKind.FIXED,
    }
    try:
        kind = parse_chinese(digits).kind
    except InvalidPhone:
        kind = None
    assert kind == kinds.get(phonenumbers.number_type(number))


UNPRINTABLE = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp", "Cs"}
]


def test_every_control_and_format_character_is_refused_wherever_it_stands() -> None:
    for character in UNPRINTABLE:
        for text in (character + "13905190000", "1390519" + character + "0000", "13905190000" + character):
            with pytest.raises(InvalidPhone):
                parse_chinese(text)
