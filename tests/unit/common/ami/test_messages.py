import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.ami.messages import MAX_MESSAGE, Event, Malformed, Oversized, Response, Splitter, read

HANGUP = frozenset({b"Hangup"})

# Half of the text is what breaks parsers: every character that some function takes for a line's end.
AWKWARD = st.text(
    alphabet=st.sampled_from("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029: aK") | st.characters(codec="utf-8")
)


@given(st.lists(st.tuples(st.sampled_from(["Key", "Cause", "X"]), AWKWARD), max_size=5))
def test_a_value_never_becomes_a_header(pairs: list[tuple[str, str]]) -> None:
    text = "\r\n".join(["Event: Hangup", *(f"{key}: {value}" for key, value in pairs)])
    event = read(text.encode(), HANGUP)
    assert isinstance(event, Event)
    headers = {line.partition(": ")[0] for line in text.split("\r\n")[1:]}
    assert event.fields.keys() <= headers


@given(st.binary())
def test_any_bytes_are_read_left_out_or_refused(message: bytes) -> None:
    for prefix in (b"", b"Event: Hangup\r\n", b"Response: Success\r\n"):
        try:
            read(prefix + message, HANGUP)
        except Malformed:
            assert not prefix


def test_an_event_of_another_name_is_left_out_unread() -> None:
    assert read(b"Event: VarSet\r\n" + b"\xff" * 1000, HANGUP) is None


def test_a_response_is_read_with_its_fields() -> None:
    response = read(b"Response: Success\r\nActionID: 1\r\nMessage: \r\nPing:Pong", HANGUP)
    assert response == Response("Success", {"ActionID": "1", "Message": "", "Ping": "Pong"})


def test_only_text_is_kept_of_an_event() -> None:
    event = read(b"Event: Hangup\r\nChanVariable: a=b\r\nCause: 16", HANGUP)
    assert event == Event("Hangup", {"Cause": "16"})


@given(st.lists(st.binary(max_size=20).filter(lambda part: b"\r" not in part)), st.integers(1, 7))
def test_the_stream_may_be_cut_anywhere(messages: list[bytes], size: int) -> None:
    stream = b"".join(message + b"\r\n\r\n" for message in messages)
    splitter = Splitter()
    received = [splitter.feed(stream[i : i + size]) for i in range(0, len(stream), size)]
    assert [message for part in received for message in part] == messages


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_message_that_is_too_long_is_refused_whether_it_ends_or_not(end: bytes) -> None:
    splitter = Splitter()
    with pytest.raises(Oversized):
        splitter.feed(b"x" * (MAX_MESSAGE + 1) + end)
