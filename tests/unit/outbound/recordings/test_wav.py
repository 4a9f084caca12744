"""Reading the headers of recordings, whoever wrote them."""

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.recordings.wav import HEADER_BYTES, WavFault, read_header, write_header


@given(sound=st.integers(1, 2**20), rate=st.sampled_from([8000, 16_000]))
def test_a_header_of_ours_is_read_by_us_and_by_others(sound: int, rate: int) -> None:
    header = write_header(rate, 2 * sound)
    wav = read_header(header, HEADER_BYTES + 2 * sound)
    assert (wav.rate, wav.channels, wav.sound_bytes, wav.whole) == (rate, 1, 2 * sound, True)
    assert wav.seconds == sound / rate
    with wave.open(io.BytesIO(header)) as other:
        found = (other.getframerate(), other.getnchannels(), other.getsampwidth(), other.getnframes())
    assert found == (rate, 1, 2, sound)


@given(head=st.binary(max_size=60), size=st.integers(0, 2**40))
def test_whatever_is_in_a_file_it_is_judged(head: bytes, size: int) -> None:
    with pytest.raises(WavFault):
        read_header(head, min(size, len(head)))


@given(told=st.integers(0, 10_000), found=st.integers(1, 10_000))
def test_only_a_file_as_long_as_its_header_says_is_whole(told: int, found: int) -> None:
    wav = read_header(write_header(8000, told), HEADER_BYTES + found)
    assert wav.whole == (told == found and found % 2 == 0)
    assert wav.sound_bytes == found
