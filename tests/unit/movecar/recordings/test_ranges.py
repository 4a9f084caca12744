"""What part of a file a Range header asks for (RFC 9110, 14)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.movecar.recordings.ranges import Part, Unsatisfiable, read_range

ETAG = '"abc"'
SIZE = 1000

PARTS = [
    # header, part of 1000 bytes (None: the whole)
    ("bytes=0-0", Part(0, 1)),
    ("bytes=0-999", Part(0, 1000)),
    ("bytes=10-19", Part(10, 10)),
    ("bytes=990-5000", Part(990, 10)),  # the end is cut to what there is
    ("bytes=999-", Part(999, 1)),
    ("bytes=0-", Part(0, 1000)),
    ("bytes=-1", Part(999, 1)),
    ("bytes=-5000", Part(0, 1000)),  # more than there is: all of it
    ("Bytes = 5-9", Part(5, 5)),
    (None, None),
    ("", None),
    ("bytes=", None),
    ("bytes=-", None),
    ("bytes=a-b", None),
    ("bytes=9-5", None),  # no range: the last before the first
    ("bytes=0-1,5-9", None),  # several: the whole is a right answer
    ("seconds=0-1", None),
    ("bytes=1-2x", None),
    ("bytes=٣-٤", None),  # digits of another script
    ("bytes=0-99999999999999999999", None),  # beyond any number of ours
]


@pytest.mark.parametrize(("header", "part"), PARTS)
def test_a_range_is_read_as_the_rfc_says(header: str | None, part: Part | None) -> None:
    assert read_range(header, None, ETAG, SIZE) == part


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_a_range_outside_the_file_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        read_range(header, None, ETAG, SIZE)


@pytest.mark.parametrize(
    ("if_range", "part"),
    [
        (ETAG, Part(0, 10)),
        ('"other"', None),  # the file is another one: all of it
        ('W/"abc"', None),  # weak tags do not do for ranges
        ("Sun, 22 Nov 2026 07:00:00 GMT", None),  # there is no date to compare with
    ],
)
def test_a_range_of_another_state_of_the_file_is_not_given(if_range: str, part: Part | None) -> None:
    assert read_range("bytes=0-9", if_range, ETAG, SIZE) == part


@given(header=st.text("bytes=-, 0123456789"), size=st.integers(0, 3000))
def test_whatever_is_asked_for_lies_within_the_file(header: str, size: int) -> None:
    try:
        part = read_range(header, None, ETAG, size)
    except Unsatisfiable:
        return
    if part is not None:
        assert 0 <= part.start < size
        assert 1 <= part.length <= size - part.start
