"""Who gives a notice, and that it is never nobody, whatever one of the two machines does (C4)."""

from dataclasses import replace

import pytest

from services.common.clock import ManualClock
from services.escalation.faults.detection.judge import CALM, FLAP_WINDOW
from services.escalation.faults.pair.messages import MAX_RECORDS, Message
from services.escalation.faults.pair.pair import MAX_OWED, Pair
from services.escalation.faults.records import Component, Delivery, Duty, Fault
from tests.unit.escalation.faults.pair.machines import BAD, GOOD, Machine, Two


@pytest.fixture
async def two() -> Two:
    found = Two()
    await found.start()
    return found


def faults(machine: Machine, component: str = "database") -> list[Fault]:
    kept = machine.disk.kept.values()
    return [one for one in kept if isinstance(one, Fault) and one.component == component]


async def test_while_both_are_well_the_active_one_gives_each_notice_and_the_standby_none(two: Two) -> None:
    await two.pass_(20, BAD)
    assert await two.active.give() == ["fault"]
    assert await two.standby.give() == []
    await two.talk()
    await two.pass_(10, GOOD)
    assert await two.active.give() == ["recovery"]
    await two.talk()
    await two.pass_(120, GOOD)
    assert await two.standby.give() == []
    # Both have the one fault, its duties and their proof.
    (here,), (there,) = faults(two.active), faults(two.standby)
    assert here == there
    assert here.state == "recovered"
    proofs = [one for one in two.standby.disk.kept.values() if isinstance(one, Delivery) and one.proof]
    assert {one.duty.split("-")[1] for one in proofs} == {"fault", "recovery"}
    assert {one.machine for one in proofs} == {"active"}


async def test_a_silent_active_machine_is_stood_in_for_after_eight_seconds(two: Two) -> None:
    await two.pass_(20, BAD)
    assert [one.duty.kind for one in await two.active.due()] == ["fault"]  # and there it dies
    await two.pass_(7, BAD, talking=False)
    assert await two.standby.give() == []
    await two.pass_(1, BAD, talking=False)
    assert await two.standby.give() == ["fault"]
    assert len(faults(two.standby)) == 1


async def test_what_the_active_machine_never_told_of_is_found_by_the_standby_itself(two: Two) -> None:
    # The active one dies with the database.
    began = two.clock.now()
    for _ in range(17):
        await two.clock.advance(1)
        await two.look(BAD, two.standby)
    (fault,) = faults(two.standby)
    assert (fault.began_at - began).total_seconds() <= 2
    assert await two.standby.give() == ["fault"]


async def test_an_active_machine_without_proof_is_helped_after_a_minute(two: Two) -> None:
    await two.pass_(20, BAD)
    assert [one.duty.kind for one in await two.active.due()] == ["fault"]  # its own way out is cut
    assert await two.standby.give() == []
    await two.pass_(58, BAD)
    assert await two.standby.give() == []
    await two.pass_(2, BAD)
    assert await two.standby.give() == ["fault"]
    await two.talk()
    assert await two.active.give() == []


@pytest.mark.parametrize("how", ["leaving", "stuck"])
async def test_a_machine_that_says_it_does_not_deliver_is_stood_in_for_at_once(two: Two, how: str) -> None:
    await two.pass_(20, BAD)
    await two.talk()
    if how == "stuck":
        two.active.works = False
    two.standby.pair.hear(two.active.pair.say(leaving=how == "leaving"))
    assert await two.standby.give() == ["fault"]


async def test_apart_both_tell_by_the_same_id_and_the_double_is_counted_when_they_meet(two: Two) -> None:
    await two.pass_(30, BAD, talking=False)
    assert await two.active.give() == ["fault"]
    assert await two.standby.give() == ["fault"]
    (here,), (there,) = faults(two.active), faults(two.standby)
    assert here.id == there.id
    await two.talk()
    await two.talk()
    for machine in (two.active, two.standby):
        sent = machine.disk.kept[Delivery, f"{here.id}-fault-desk-push"]
        assert isinstance(sent, Delivery)
        assert (sent.copies, sent.machine) == (2, "active")
    # The recovery is told by one again.
    await two.pass_(10, GOOD)
    assert await two.active.give() == ["recovery"]
    await two.talk()
    assert await two.standby.give() == []


async def test_a_machine_that_comes_back_learns_what_was_told_and_does_not_tell_it_again(two: Two) -> None:
    await two.pass_(20, BAD)
    await two.active.due()  # dies here, with the notice claimed
    await two.pass_(10, BAD, talking=False)
    assert await two.standby.give() == ["fault"]
    two.active.boot()
    await two.active.engine.start()
    await two.talk()
    await two.talk()
    await two.clock.advance(60)
    assert await two.active.give() == []


async def test_a_machine_that_lost_its_disk_is_told_all_that_is_not_settled(two: Two) -> None:
    await two.pass_(20, BAD)
    two.active.disk.kept.clear()
    two.active.boot()
    await two.active.engine.start()
    await two.talk()
    await two.talk()
    assert await two.active.give() == ["fault"]


async def test_a_gap_that_the_other_machine_watched_through_concerns_the_supervisor_alone(two: Two) -> None:
    await two.clock.advance(40)
    await two.look(GOOD, two.standby)
    two.active.boot()
    two.standby.pair.hear(two.active.pair.say())
    name = f"{two.active.pair.life}.1"
    two.active.pair.hear(two.standby.pair.say(answers=name), answers=name)
    await two.active.engine.start()
    (gap,) = faults(two.active, "escalation")
    assert (gap.audiences, gap.downtime) == ("supervisor", False)


async def test_a_gap_of_both_machines_is_the_desks_business(two: Two) -> None:
    await two.clock.advance(40)
    for machine in (two.active, two.standby):
        machine.boot()
    await two.talk()
    for machine in (two.active, two.standby):
        await machine.engine.start()
        (gap,) = faults(machine, "escalation")
        assert (gap.audiences, gap.downtime) == ("desk,supervisor", True)


async def test_the_other_machines_silence_is_a_fault_for_the_supervisor(two: Two) -> None:
    await two.pass_(30, GOOD, talking=False)
    (fault,) = faults(two.active, "peer")
    assert (fault.audiences, fault.downtime) == ("supervisor", False)
    await two.pass_(10, GOOD)
    # The other one missed us too; each says for itself when that is over.
    assert {fault.machine: fault.state for fault in faults(two.active, "peer")} == {
        "active": "recovered",
        "standby": "recovered",
    }


async def test_what_the_standby_alone_sees_is_not_told_the_desk_but_the_supervisor(two: Two) -> None:
    for _ in range(120):
        await two.clock.advance(1)
        await two.talk()
        await two.look(GOOD, two.active)
        await two.look(BAD, two.standby)
    assert not faults(two.standby)
    (fault,) = faults(two.standby, "peer")
    assert fault.reason == "两机所见不同：数据库"
    assert await two.standby.give() == []


async def test_a_full_disk_of_the_standby_is_not_downtime_and_is_not_ended_by_the_other_disk(
    two: Two,
) -> None:
    for _ in range(30):
        await two.clock.advance(1)
        await two.talk()
        await two.active.engine.observe({"disk": GOOD})
        await two.standby.engine.observe({"disk": BAD})
    for machine in (two.active, two.standby):
        (fault,) = faults(machine, "disk")
        assert (fault.state, fault.audiences, fault.machine) == ("open", "supervisor", "standby")


async def test_a_fault_that_the_other_one_saw_end_opens_anew_where_it_is_still_bad(two: Two) -> None:
    await two.pass_(30, BAD, talking=False)
    for _ in range(10):
        await two.clock.advance(1)
        await two.look(BAD, two.active)
        await two.look(GOOD, two.standby)
    await two.talk()
    await two.talk()
    for _ in range(20):
        await two.clock.advance(1)
        await two.talk()
        await two.look(BAD)
    first, second = sorted(faults(two.active), key=lambda fault: fault.began_at)
    assert (first.state, second.state) == ("recovered", "open")
    assert second.began_at >= (first.recovered_at or first.began_at)
    assert first.id != second.id


async def _away_with_a_fault_open(two: Two, seconds: int) -> None:
    """The active machine tells of a fault and is away so long, the standby watching the recovery."""
    await two.pass_(20, BAD)
    assert await two.active.give() == ["fault"]
    await two.talk()
    await two.talk()
    for _ in range(seconds):
        await two.clock.advance(1)
        await two.look(GOOD, two.standby)


async def _back(two: Two, seconds: int) -> list[str]:
    """The active machine is back, finds the part down and gives what is due for so long."""
    two.active.boot()
    await two.active.engine.start()
    given = []
    for _ in range(seconds):
        await two.clock.advance(1)
        await two.look(BAD, two.active)
        given += await two.active.give()
    return given


async def test_a_fault_whose_end_a_machine_now_silent_may_have_told_is_told_anew_once(two: Two) -> None:
    await _away_with_a_fault_open(two, 40)
    assert await two.standby.give() == ["recovery"]  # and it dies, and the part breaks again
    given = await _back(two, 60)
    assert given.count("fault") == 2  # the machine's own gap, and the part
    old, new = sorted(faults(two.active), key=lambda fault: fault.detected_at)
    assert (old.state, new.state) == ("open", "open")
    assert new.began_at > old.began_at
    assert "重新告知" in new.reason
    # Both are over when the part is; the one that the other machine ended stays ended by it.
    for _ in range(10):
        await two.talk()
    old, new = sorted(faults(two.active), key=lambda fault: fault.detected_at)
    assert (old.state, new.state) == ("recovered", "open")
    await two.pass_(60, GOOD)
    assert {fault.state for fault in faults(two.active)} == {"recovered"}


async def test_a_machine_that_hears_the_other_one_at_its_return_tells_nothing_anew(two: Two) -> None:
    await _away_with_a_fault_open(two, 5)
    two.active.boot()
    await two.active.engine.start()
    await two.talk()
    await two.talk()
    await two.pass_(5, BAD)
    await two.pass_(60, BAD, talking=False)
    assert len(faults(two.active)) == 1


async def test_a_restart_that_the_other_machine_did_not_notice_tells_nothing_anew(two: Two) -> None:
    await _away_with_a_fault_open(two, 3)
    assert await _back(two, 60) == []
    assert len(faults(two.active)) == 1


async def test_a_machine_that_stood_still_tells_anew_what_it_finds_open(two: Two) -> None:
    await _away_with_a_fault_open(two, 40)
    assert await two.standby.give() == ["recovery"]
    two.active.pair.broke_off()
    for _ in range(30):
        await two.clock.advance(1)
        await two.look(BAD, two.active)
    assert [fault.state for fault in faults(two.active)] == ["open", "open"]


async def test_a_part_that_flaps_must_stay_good_as_long_for_the_standby_as_for_the_active_one(
    two: Two,
) -> None:
    for _ in range(5):
        await two.pass_(20, BAD)
        await two.pass_(170, GOOD)
    # The sixth time: 5 s doubled by each flap, which the standby knows of from the active machine alone.
    await two.pass_(20, BAD)
    await two.pass_(100, GOOD)
    for machine in (two.active, two.standby):
        assert machine.engine.book.probed("database") is not None
        assert machine.engine.book.components["database"].flaps == 5


async def test_flaps_that_the_active_one_has_forgotten_do_not_delay_a_recovery_that_the_standby_finds(
    two: Two,
) -> None:
    for reading in (BAD, GOOD) * 3:
        await two.pass_(60, reading)
    component = two.standby.engine.book.components["database"]
    assert component.flaps == two.active.engine.book.components["database"].flaps == 2
    await two.clock.advance(FLAP_WINDOW.total_seconds())
    await two.pass_(2, GOOD)
    await two.pass_(20, BAD)
    assert [one.flaps for one in faults(two.standby) if one.state == "open"] == [0]
    # Now the active one is gone.
    await two.pass_(10, BAD, talking=False)
    await two.pass_(round(CALM.total_seconds()) + 1, GOOD, talking=False)
    assert {one.state for one in faults(two.standby)} == {"recovered"}


async def test_two_machines_of_one_role_both_tell(two: Two) -> None:
    both = Two()
    both.active.role = "standby"
    both.active.boot()
    await both.start()
    await both.pass_(30, BAD)
    assert await both.active.give() == ["fault"]
    assert await both.standby.give() == ["fault"]
    assert both.standby.engine.book.components["peer"].good_at < both.clock.now()


async def test_a_long_absence_is_made_up_for_although_not_all_changes_were_kept() -> None:
    clock = ManualClock()
    pair = Pair("active", clock)
    pair.owe(_duty(number) for number in range(MAX_OWED + 5))
    message = pair.say()
    assert len(message.records) == MAX_RECORDS
    other = Pair("standby", clock)
    assert pair.hear(other.say())  # all that is not settled is to be told
    assert not pair.hear(other.say())


def _duty(number: int) -> Duty:
    now = ManualClock().now()
    return Duty(f"{number}-fault-desk", str(number), "fault", "desk", now, now)


async def test_a_notice_of_which_only_the_duty_has_arrived_waits_for_its_subject(two: Two) -> None:
    await two.standby.engine.receive([_duty(1)])
    two.standby.pair.role = "active"
    assert await two.standby.due() == []


def test_records_are_owed_until_the_other_machine_says_that_it_has_them() -> None:
    clock = ManualClock()
    here, there = Pair("active", clock), Pair("standby", clock)
    there.hear(here.say())
    here.owe([_duty(1)])
    lost = here.say()
    assert lost.records
    assert here.say().records == lost.records
    taken: Message = here.say()
    there.hear(taken)
    here.hear(there.say())
    assert not here.settled
    there.took(taken)
    here.hear(there.say())
    assert here.settled


async def test_parts_and_beats_are_each_machines_own(two: Two) -> None:
    await two.pass_(20, BAD)
    records = [record for message in (two.active.pair.say(),) for record in message.records]
    assert not [record for record in records if isinstance(record, Component)]


async def test_a_fault_told_of_is_owed_although_the_machine_died_before_it_told_of_that(two: Two) -> None:
    await two.pass_(20, BAD, talking=False)
    (fault,) = faults(two.active)
    alone = Machine("standby", two.clock)
    await alone.engine.start()
    await alone.engine.receive([fault])
    assert await alone.give() == ["fault"]
    # What it had told is in its journal, and is not owed again.
    alone.engine.book.duties.clear()
    await alone.engine.receive([replace(fault, flaps=3)])
    assert await alone.give() == []
