"""An owner and an operator's seat on a real Asterisk, SIPp on both sides (B7, B8, E2)."""

import dataclasses
import re
import secrets
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from deploy.asterisk.render import PbxSettings, seat_user
from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from deploy.stack.seats import Seats, authorization, challenged
from deploy.stack.sip_trace import SipMessage, messages
from deploy.stack.tones import OWNER_HERTZ, SEAT_HERTZ
from services.common.events import AttemptOutcome
from services.outbound.calls import read_left
from services.outbound.evidence.line import CallRecord, read_line
from tests.integration.telephony.calls import PlacedCall, left_result, place, tone

pytestmark = pytest.mark.timeout(120)

TALKS_ON = "13900000120"
TAKES_TIME = "13900000121"
LEAVES = "13900000122"
ASKS = "13900000100"
MAX_SECONDS = 14
LOUD = 3000
ON = ["ringing", "connected"]
IN_VAIN = ["ringing", "unavailable"]
NOBODY = ["unavailable"]

# name, owner, mode, seat, phases of the seat, outcome, key that counts
CALLS: list[tuple[str, str, str, str, list[str], AttemptOutcome, str | None]] = [
    ("owner leaves", LEAVES, "bridge", "op1", ON, "wanted_operator", None),
    ("too long", TALKS_ON, "bridge", "op2", ON, "wanted_operator", None),
    ("key 0, seat leaves", ASKS, "notice", "brief", [*ON, "left"], "wanted_operator", "0"),
    ("key 0, nobody", ASKS, "notice", "awayx", NOBODY, "wanted_operator", "0"),
    ("absent", TAKES_TIME, "bridge", "awayx", NOBODY, "agreed", "1"),
    ("unknown", TAKES_TIME, "bridge", "nobody", NOBODY, "agreed", "1"),
    ("no operator", TAKES_TIME, "bridge", "", NOBODY, "agreed", "1"),
    ("busy", TAKES_TIME, "bridge", "busy", IN_VAIN, "agreed", "1"),
    ("declines", TAKES_TIME, "bridge", "declines", IN_VAIN, "agreed", "1"),
    ("does not answer", TAKES_TIME, "bridge", "deaf", IN_VAIN, "agreed", "1"),
    ("gone again", TAKES_TIME, "bridge", "hasty", IN_VAIN, "agreed", "1"),
    ("not asked for", TAKES_TIME, "notice", "op3", [], "agreed", "1"),
]
CONNECTED = ["owner leaves", "too long", "key 0, seat leaves"]
SEATS = ("op1", "op2", "op3", "op4", "busy", "declines", "deaf", "hasty", "brief", "awayx")
Calls = dict[str, PlacedCall]


@pytest.fixture(scope="module")
def switch(server_home: Path, owners: Owners, quick_prompts: Path) -> Iterator[Asterisk]:
    """A switch of this module: no call lasts longer than `MAX_SECONDS`, no owner waits 2 s for a seat."""
    server = Asterisk(
        server_home / "bridging",
        prompts=quick_prompts,
        trunk_uri=owners.uri,
        key_wait=1,
        seat_wait=2,
        max_seconds=MAX_SECONDS,
        seats=tuple((name, secrets.token_hex(16)) for name in SEATS),
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def telephones(server_home: Path, switch: Asterisk) -> Iterator[Seats]:
    """Its seats; nobody is at the last one."""
    settings = switch.settings
    server = Seats(server_home / "telephones", dataclasses.replace(settings, seats=settings.seats[:-1]))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def calls(switch: Asterisk, telephones: Seats, owners: Owners) -> Calls:
    """Every call of the table, all at the same time, all over."""
    placed = {name: PlacedCall(owner, mode=mode, seat=seat) for name, owner, mode, seat, *_ in CALLS}
    place(switch, list(placed.values()))
    assert telephones.child.running
    assert owners.child.running
    return placed


@pytest.mark.parametrize(("name", "phases", "outcome", "key"), [(row[0], *row[4:]) for row in CALLS])
def test_an_owner_gets_the_seat_or_the_menu(
    calls: Calls, name: str, phases: list[str], outcome: AttemptOutcome, key: str | None
) -> None:
    call = calls[name]
    assert [event["Phase"] for event in call.user_events("MovecarSeat")] == phases
    assert [event["Key"] for event in call.user_events("MovecarKey")] == ([key] if key else [])
    assert call.outcome == outcome


@pytest.mark.parametrize(("name", "outcome"), [(row[0], row[5]) for row in CALLS])
def test_the_dialplan_s_note_says_the_same_as_the_events(
    switch: Asterisk, calls: Calls, name: str, outcome: AttemptOutcome
) -> None:
    left = read_left(left_result(switch, calls[name].attempt) or "")
    assert left.outcome == outcome
    assert (left.bridged_at is not None) == (name in CONNECTED)


@pytest.mark.parametrize("name", ["owner leaves", "too long"])
def test_the_recording_holds_both_voices_at_the_same_time(switch: Asterisk, calls: Calls, name: str) -> None:
    path = switch.recording(calls[name].attempt)
    together = [min(pair) for pair in zip(tone(path, OWNER_HERTZ), tone(path, SEAT_HERTZ), strict=True)]
    assert max(together) > LOUD
    assert together[0] < LOUD / 3, "the seat is heard during the greeting"
    assert max(tone(path, (OWNER_HERTZ + SEAT_HERTZ) // 2)) < LOUD / 3


def test_the_longest_call_ends_a_conversation_too(switch: Asterisk, calls: Calls) -> None:
    (record,) = _own_records(switch, calls["too long"])
    assert abs(record.billed - MAX_SECONDS) < 1


def test_nothing_of_the_owner_reaches_the_seat(calls: Calls, telephones: Seats) -> None:
    wire = telephones.trace.read_text("utf-8")
    assert not [number for number in {call.called for call in calls.values()} if number in wire]
    invites = telephones.invites()
    assert {identity for invite in invites for identity in invite.identities} == {"0519110"}
    for name in ("P-Asserted-Identity", "Remote-Party-ID", "Diversion"):
        assert not [value for invite in invites for value in invite.text.values(name)]
    received = {_method(message) for message in messages(telephones.trace) if message.received}
    assert received <= {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "SIP/2.0"}


def test_nothing_of_the_seat_reaches_the_owner(calls: Calls, owners: Owners) -> None:
    assert calls
    assert "seat" not in owners.trace.read_text("utf-8")
    invited = Counter(
        "".join(message.values("Call-ID"))
        for message in messages(owners.trace)
        if message.received and _method(message) == "INVITE"
    )
    assert set(invited.values()) == {1}, "an owner was told of a change in the middle of a call"


def test_the_seat_is_let_go_as_soon_as_the_owner_hangs_up(
    switch: Asterisk, calls: Calls, telephones: Seats
) -> None:
    (record,) = _own_records(switch, calls["owner leaves"])
    answered, released = _leg(telephones, "op1")
    # The seat answered just after the owner, so its leg may not outlast the owner's own time.
    assert (released - answered).total_seconds() < record.billed + 0.5


def test_every_leg_of_a_seat_is_linked_to_its_attempt_and_is_none(switch: Asterisk, calls: Calls) -> None:
    legs = [record for record in _records(switch) if record.endpoint.startswith("seat-")]
    wanted = {(seat_user(row[3]), calls[row[0]].attempt) for row in CALLS if "ringing" in row[4]}
    assert {(leg.endpoint, leg.linked_id) for leg in legs} == wanted
    assert not {leg.unique_id for leg in legs} & {call.attempt for call in calls.values()}


def test_a_call_whose_seat_left_is_the_sum_of_its_records(switch: Asterisk, calls: Calls) -> None:
    call = calls["key 0, seat leaves"]
    left = read_left(left_result(switch, call.attempt) or "")
    assert left.answered_at is not None
    assert left.ended_at is not None
    billed = sum(record.billed for record in _own_records(switch, call))
    assert (
        abs(billed - (left.ended_at - left.answered_at).total_seconds()) < 1.1
    )  # the note has whole seconds


def test_a_seat_that_is_on_a_call_is_not_rung_for_another(
    switch: Asterisk, calls: Calls, telephones: Seats
) -> None:
    both = [PlacedCall(LEAVES, mode="bridge", seat="op4") for _ in range(2)]
    assert calls
    place(switch, both)
    phases = sorted([event["Phase"] for event in call.user_events("MovecarSeat")] for call in both)
    assert phases in ([ON, NOBODY], [NOBODY, NOBODY])  # each may see the other first, and none then rings
    assert sum(invite.called == seat_user("op4") for invite in telephones.invites()) <= 1


def test_a_seat_can_call_nobody(switch: Asterisk, telephones: Seats, owners: Owners) -> None:
    before = len(owners.invites())
    assert telephones.child.running
    name, secret = switch.settings.seats[0]
    for called in (LEAVES, "s", "desk", "op2"):
        assert _call_in(switch.settings, seat_user(name), secret, called) == 403
    assert len(owners.invites()) == before


def test_a_wrong_secret_opens_nothing(switch: Asterisk) -> None:
    assert _call_in(switch.settings, seat_user("op1"), "x" * 24, LEAVES) == 401
    assert _call_in(switch.settings, "trunk-0519110", "x" * 24, LEAVES) == 401


def _method(message: SipMessage) -> str:
    return message.start_line.split()[0]


def _records(switch: Asterisk) -> list[CallRecord]:
    return [read_line(line) for line in switch.call_records.read_bytes().splitlines()]


def _own_records(switch: Asterisk, call: PlacedCall) -> list[CallRecord]:
    return [record for record in _records(switch) if record.unique_id == call.attempt]


def _leg(telephones: Seats, seat: str) -> tuple[datetime, datetime]:
    """When the seat answered, and when it was told that the call is over."""
    (invite,) = [each for each in telephones.invites() if each.called == seat_user(seat)]
    of_call = [each for each in messages(telephones.trace) if each.values("Call-ID") == [invite.call_id]]
    answered = next(each.at for each in of_call if each.start_line == "SIP/2.0 200 OK" and not each.received)
    return answered, next(each.at for each in of_call if _method(each) == "BYE" and each.received)


def _call_in(settings: PbxSettings, user: str, secret: str, called: str) -> int:
    """Call as a seat would; return the final status."""
    host = settings.sip_host
    offer = "".join(
        f"{line}\r\n"
        for line in (
            "v=0",
            f"o=x 1 1 IN IP4 {host}",
            "s=-",
            f"c=IN IP4 {host}",
            "t=0 0",
            "m=audio 9 RTP/AVP 8",
        )
    )
    uri = f"sip:{called}@{host}:{settings.sip_port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.settimeout(10)
        wire.connect((host, settings.sip_port))
        here = "{}:{}".format(*wire.getsockname())

        def ask(number: int, proof: str) -> str:
            lines = [
                f"INVITE {uri} SIP/2.0",
                f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{secrets.token_hex(8)};rport",
                f"From: <sip:{user}@{host}>;tag=1",
                f"To: <{uri}>",
                f"Call-ID: {user}-{called}-{here}",
                f"CSeq: {number} INVITE",
                f"Contact: <sip:{user}@{here}>",
                *([f"Authorization: {proof}"] if proof else []),
                "Max-Forwards: 70",
                "Content-Type: application/sdp",
                f"Content-Length: {len(offer)}",
            ]
            wire.send(("\r\n".join(lines) + "\r\n\r\n" + offer).encode())
            while True:
                answer = wire.recv(65_536).decode()
                if f"CSeq: {number} INVITE" in answer and not re.match(r"SIP/2\.0 1", answer):
                    return answer

        challenge = challenged(ask(1, ""))
        return int(ask(2, authorization(user, secret, "INVITE", uri, challenge)).split()[1])
