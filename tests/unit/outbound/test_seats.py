"""Owners are connected to the operator's seat or given the menu; the person decides what was said (B7)."""

import pytest

from services.common.ami import UnsafeValue, actions
from services.common.events import CallMode, ContactConcluded
from services.outbound.calls import Ended, SeatConnected, SeatLeft
from services.outbound.seats import connection
from tests.unit.outbound.rig import NUMBER, Rig

ASKS_FOR_A_PERSON = "13900000100"


# mode of the case, operator's username, how the call is made
@pytest.mark.parametrize(
    ("mode", "username", "made"),
    [
        ("bridge", "op1", ("bridge", "op1")),
        ("notice", "op1", ("notice", "op1")),  # for key 0
        ("bridge", "", ("notice", "")),  # requested by a service that knows no seats
        ("bridge", "Op1", ("notice", "")),  # a seat's name has no capitals, and op1 may be somebody else
        ("bridge", "wang.wu", ("notice", "")),
        ("bridge", "王五", ("notice", "")),
        ("bridge", "a" * 21, ("notice", "")),
        ("bridge", "op1\n", ("notice", "")),
    ],
)
def test_a_username_is_a_seat_or_there_is_none(
    mode: CallMode, username: str, made: tuple[CallMode, str]
) -> None:
    assert connection(mode, username) == made


@pytest.mark.parametrize(
    ("mode", "seat"),
    [
        ("conference", "op1"),
        ("bridge", "op1,CALLERID(num)=110"),
        ("bridge", "op1&PJSIP/op2"),
        ("bridge", "op-1"),
        ("bridge", "a" * 21),
    ],
)
def test_nothing_but_a_seat_can_be_said_to_the_switch(mode: str, seat: str) -> None:
    with pytest.raises(UnsafeValue, match="Variable"):
        actions.originate(
            attempt_id="a" * 32,
            callee="13900000000",
            caller_id="0519110",
            script=1,
            speak="d",
            ring_seconds=5,
            mode=mode,
            seat=seat,
        )


# number, mode: each leads to a conversation
BRIDGED: list[tuple[str, CallMode]] = [(NUMBER + "5", "bridge"), (ASKS_FOR_A_PERSON, "notice")]


@pytest.mark.parametrize(("number", "mode"), BRIDGED)
async def test_a_conversation_leaves_the_decision_to_the_operator(
    rig: Rig, number: str, mode: CallMode
) -> None:
    await rig.start()
    contact = await rig.request(number, mode=mode, seat="op1")
    assert await rig.conclusion(contact) == "wanted_operator"
    ended = await rig.reached(contact, "ended")
    assert (ended.outcome, ended.reason) == ("wanted_operator", "bridged")
    assert ended.answered_at is not None
    assert ended.bridged_at is not None
    assert ended.ended_at is not None
    assert ended.answered_at <= ended.bridged_at <= ended.ended_at
    assert len(await rig.attempts(contact)) == 1, "an owner who was talked to is rung again"


async def test_a_conversation_is_told_while_it_lasts(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "0", mode="bridge", seat="op1")
    await rig.conclusion(contact)
    (concluded,) = await rig.events(ContactConcluded, contact)
    answered = await rig.reached(contact, "answered")
    assert (concluded.outcome, concluded.reason) == ("wanted_operator", "bridged")
    assert answered.ended_at is None


@pytest.mark.parametrize(
    ("seat", "reason"),
    [("op1x", "seat_unavailable"), ("", None), ("Op1", None)],  # nobody there; no seat at all: notice mode
)
async def test_without_a_seat_the_owner_s_key_decides(rig: Rig, seat: str, reason: str | None) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "5", mode="bridge", seat=seat)
    assert await rig.conclusion(contact) == "disputed"
    ended = await rig.reached(contact, "ended")
    assert (ended.reason, ended.bridged_at) == (reason, None)
    (concluded,) = await rig.events(ContactConcluded, contact)
    assert concluded.reason is None


async def test_key_0_without_a_seat_still_asks_for_a_person(rig: Rig) -> None:
    await rig.start()
    contact = await rig.request(ASKS_FOR_A_PERSON, seat="op1x")
    assert await rig.conclusion(contact) == "wanted_operator"
    ended = await rig.reached(contact, "ended")
    assert (ended.reason, ended.bridged_at) == ("seat_unavailable", None)


@pytest.mark.parametrize("heard", [SeatConnected, SeatLeft, Ended])
async def test_a_conversation_that_began_while_the_caller_was_dead_is_read_from_the_switch(
    rig: Rig, heard: type[SeatConnected] | type[SeatLeft] | type[Ended]
) -> None:
    await rig.start()
    contact = await rig.request(NUMBER + "1", mode="bridge", seat="op1")
    await rig.tap.until_heard("Phase: ringing")
    await rig.crash()
    await rig.witness.saw(heard)
    await rig.start()
    assert await rig.conclusion(contact) == "wanted_operator"
    ended = await rig.reached(contact, "ended")
    assert (ended.outcome, ended.reason) == ("wanted_operator", "bridged")
    assert ended.bridged_at is not None
    assert set(rig.tap.asked.values()) == {1}
