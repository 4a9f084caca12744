"""Reading SIPp's message file."""

from pathlib import Path

import pytest

from deploy.stack.sip_trace import invites, messages

BAR = "-" * 47


def _block(way: str, *lines: str) -> str:
    return (
        f"{BAR} 2026-11-22 03:58:55.714768\nUDP message {way} [9] bytes :\n\n"
        + "\r\n".join(lines)
        + "\r\n\r\n"
    )


def _invite(called: str, caller: str, call_id: str, *more: str) -> str:
    start = f"INVITE sip:{called}@127.0.0.1:5070 SIP/2.0"
    return _block("received", start, f"From: <sip:{caller}@127.0.0.1>;tag=1", f"Call-ID: {call_id}", *more)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "messages.log"
    pai = 'P-Asserted-Identity: "0519110" <sip:0519110@127.0.0.1>'
    path.write_text(
        _invite("13805190001", "0519110", "a", pai)
        + _block("sent", "SIP/2.0 180 Ringing", "Call-ID: a")
        + _invite("13805190001", "0519110", "a", pai)  # a repetition: the answer was lost
        + _invite("13805190002", "110", "b", pai, "remote-party-id: <sip:95559@x>")
    )
    return path


def test_a_repeated_invite_is_one_call(trace: Path) -> None:
    assert [invite.called for invite in invites(trace)] == ["13805190001", "13805190002"]


def test_every_identity_that_could_be_shown_is_found(trace: Path) -> None:
    good, bad = invites(trace)
    assert good.identities == {"0519110"}
    assert (bad.caller, bad.asserted, bad.identities) == ("110", "0519110", {"110", "0519110", "95559"})


def test_messages_keep_their_order_direction_and_time(trace: Path) -> None:
    read = list(messages(trace))
    assert [message.received for message in read] == [True, False, True, True]
    assert read[1].start_line == "SIP/2.0 180 Ringing"
    assert read[0].at.microsecond == 714_768


@pytest.mark.parametrize("content", [None, "", "garbage\n", BAR + " 2026"])  # not there, empty, cut off
def test_a_trace_without_messages_has_no_calls(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "messages.log"
    if content is not None:
        path.write_text(content)
    assert invites(path) == []
