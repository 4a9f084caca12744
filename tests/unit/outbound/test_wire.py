"""Only digits of a number that may be called reach the wire, whatever a request holds (B4)."""

import re

from hypothesis import given
from hypothesis import strategies as st

from services.common.ami import UnsafeValue
from services.common.crypto import Keys
from services.common.phones import InvalidPhone, callable_number, own_lines
from services.outbound.callees import callable_ones, context, digits_to_dial
from services.outbound.pbx import Call

KEYS = Keys.from_secret("a root secret that is long enough for the tests")
CONTACT = "c" * 32
OWN = own_lines("0519-81997327")
NEAR_NUMBERS = st.one_of(
    st.from_regex(r"(\+?86|0086|0)?1[3-9][0-9]{9}", fullmatch=True),
    st.from_regex(r"0(10|2[0-9]|519)[-, ]?[2-8][0-9]{6,7}", fullmatch=True),
    st.sampled_from(["110", "0519110", "95588", "400-800-1234", "0519-81997327", "00852 2345 6789", "*123#"]),
    # A number with something behind it that a header, a dial string or a variable could carry on from.
    st.tuples(
        st.just("13900000001"),
        st.sampled_from(
            ["\r\nAction: Command", "@other", "&PJSIP/110", ",x", "/n", "\u2028", "w1", "#", "\x00"]
        ),
    ).map("".join),
    st.text(max_size=40),
)


def as_sealed(text: str) -> str:
    return KEYS.seal(text, context(CONTACT))


@given(st.lists(NEAR_NUMBERS, max_size=6))
def test_from_the_request_to_the_wire_there_is_no_other_way_than_digits(texts: list[str]) -> None:
    callees = callable_ones(KEYS, CONTACT, [as_sealed(text) for text in texts], OWN)
    assert len(callees.sealed) == len(set(callees.indexes)) == len(callees.indexes)
    for sealed in callees.sealed:
        wire = placed(digits_to_dial(KEYS, CONTACT, sealed))
        dialled = re.findall(r"Channel: PJSIP/([^@\r\n]*)@", wire)
        assert len(dialled) == 1
        assert re.fullmatch(r"1[3-9][0-9]{9}|0[0-9]{9,11}", dialled[0])
        assert callable_number(dialled[0], OWN).digits == dialled[0]
        assert wire.count("Action:") == 1
        assert wire.isascii()
        assert "&" not in wire


@given(NEAR_NUMBERS)
def test_also_what_was_sealed_behind_the_handlers_back_is_checked_before_it_is_dialled(text: str) -> None:
    try:
        digits = digits_to_dial(KEYS, CONTACT, as_sealed(text))
    except InvalidPhone:
        return
    assert re.fullmatch(r"1[3-9][0-9]{9}|0[0-9]{9,11}", digits)


@given(st.text(max_size=30))
def test_a_call_cannot_even_be_made_with_anything_else(text: str) -> None:
    try:
        wire = placed(text)
    except UnsafeValue:
        return
    assert re.search(rf"Channel: PJSIP/{re.escape(text)}@[a-z0-9-]+\r\n", wire)
    assert re.fullmatch("[0-9]+", text)
    assert text.isascii()


def placed(callee: str) -> str:
    """Return the bytes that ask Asterisk for a call to `callee`, as text."""
    call = Call("a" * 32, callee, "0519110", 1, "u82cf-d-1-0-0-0-1", 30)
    return call.action.wire().decode()
