"""Sealed values open only where they belong; indexes find equals and tell nothing else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.crypto import Keys, SealBroken

SECRET = "0123456789abcdef0123456789abcdef"
KEYS = Keys.from_secret(SECRET)
encodable = st.text(st.characters(exclude_categories=["Cs"]))


@given(encodable, encodable)
def test_a_value_opens_in_its_own_context(text: str, context: str) -> None:
    assert KEYS.open(KEYS.seal(text, context), context) == text


@given(encodable, encodable, encodable)
def test_a_value_copied_to_another_context_does_not_open(text: str, context: str, other: str) -> None:
    sealed = KEYS.seal(text, context)
    if context != other:
        with pytest.raises(SealBroken):
            KEYS.open(sealed, other)


@given(st.data())
def test_no_changed_value_opens(data: st.DataObject) -> None:
    sealed = KEYS.seal("苏D10001", "case:1")
    place = data.draw(st.integers(0, len(sealed)))
    stranger = data.draw(st.characters())
    inserted = data.draw(st.booleans())
    changed = sealed[:place] + stranger + sealed[place if inserted else place + 1 :]
    if changed != sealed:
        with pytest.raises(SealBroken):
            KEYS.open(changed, "case:1")


@given(st.text())
def test_nothing_made_up_opens(text: str) -> None:
    with pytest.raises(SealBroken):
        KEYS.open(text, "case:1")


@pytest.mark.parametrize("length", range(30))
def test_no_piece_of_a_value_opens(length: int) -> None:
    raw = base64.urlsafe_b64decode(KEYS.seal("", "c").removeprefix("v1."))
    if length < len(raw):
        with pytest.raises(SealBroken):
            KEYS.open("v1." + base64.urlsafe_b64encode(raw[:length]).decode(), "c")


def test_another_installation_cannot_open_it() -> None:
    with pytest.raises(SealBroken):
        Keys.from_secret(SECRET[::-1]).open(KEYS.seal("13900000005", "c"), "c")


def test_equal_values_are_sealed_differently() -> None:
    assert KEYS.seal("苏D10001", "c") != KEYS.seal("苏D10001", "c")


def test_the_index_is_stable_across_versions_of_this_program() -> None:
    # Stored in every database: a change here makes every stored plate unfindable.
    assert KEYS.index("plate", "苏D10001") == "b13f8376e50bb183cf42b491c84fb27f"


def test_what_an_earlier_version_sealed_still_opens() -> None:
    assert KEYS.open("v1.vD4zOJMw1DrT_90NLzml_DPOy_QEZZTcz-zX86BSigOrkBmibQ==", "case:1") == "苏D10001"


@given(encodable, encodable)
def test_the_index_is_equal_exactly_for_equal_values(one: str, other: str) -> None:
    assert (KEYS.index("plate", one) == KEYS.index("plate", other)) == (one == other)


def test_the_index_depends_on_kind_and_key() -> None:
    # The same digits as a plate and as a phone; the same plate elsewhere.
    assert KEYS.index("plate", "123") != KEYS.index("phone", "123")
    assert KEYS.index("plate", "123") != Keys.from_secret(SECRET[::-1]).index("plate", "123")


def test_keys_of_two_purposes_differ() -> None:
    assert KEYS.derive("seal") != KEYS.derive("index")
    assert len(KEYS.derive("anything")) == 32


@pytest.mark.parametrize(
    ("secret", "long_enough"),
    [
        ("a" * 31, False),
        ("a" * 32, True),
        ("钥" * 10, False),  # 30 bytes
        ("钥" * 11, True),  # 33 bytes
        ("", False),
    ],
)
def test_a_short_root_secret_is_refused(secret: str, long_enough: bool) -> None:
    if long_enough:
        Keys.from_secret(secret)
    else:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            Keys.from_secret(secret)
