"""What two machines know is put together alike in whatever order and however often it comes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.faults.pair.joined import joined
from services.escalation.faults.records import Delivery, Duty, Fault, Finding

NOW = datetime(2026, 4, 1, tzinfo=UTC)
moments = st.integers(0, 5).map(lambda minutes: NOW + timedelta(minutes=minutes))
machines = st.sampled_from(["active", "standby"])
ends = st.none() | moments
faults = st.builds(
    lambda **values: Fault(**values, state="open" if values["recovered_at"] is None else "recovered"),
    id=st.just("f"),
    component=st.just("database"),
    reason=st.sampled_from(["", "down", "down，共2起", "down，共10起"]),
    began_at=moments,
    detected_at=moments,
    source=st.just("probe"),
    audiences=st.sampled_from(["desk,supervisor", "supervisor"]),
    downtime=st.booleans(),
    planned=st.booleans(),
    planned_until=ends,
    recovered_at=ends,
    lost=st.sampled_from(["", "3", "12"]),
    flaps=st.integers(0, 2),
    machine=machines,
)


def _duty(since: datetime, kept_at: datetime | None, state: str, by: str) -> Duty:
    due = since + timedelta(minutes=2)
    if kept_at is not None:
        state = "kept" if kept_at <= due else "kept_late"
    return Duty("f-fault-desk", "f", "fault", "desk", since, due, state, kept_at, by if kept_at else "")  # type: ignore[arg-type]


duties = st.builds(
    _duty, moments, ends, st.sampled_from(["pending", "late", "void"]), st.sampled_from(["push", "sms"])
)
delivered = st.builds(
    lambda at, machine: Delivery(
        "d", "f", "push", at, 1, "delivered", at, "204", machine, machine=machine, copies=1
    ),
    moments,
    machines,
)
waiting = st.builds(
    lambda at, tries, state: Delivery("d", "f", "push", at, tries, state),
    moments,
    st.integers(0, 3),
    st.sampled_from(["pending", "superseded"]),
)
findings = st.builds(
    lambda fault, at, still: Finding("i", fault, at, still),
    st.sampled_from(["", "f"]),
    moments,
    st.booleans(),
)
three = st.one_of(*(st.tuples(kind, kind, kind) for kind in (faults, duties, delivered | waiting, findings)))


@given(three)
def test_order_and_repetition_change_nothing(found: tuple[Any, Any, Any]) -> None:
    one, two, three = found
    assert joined(one, two) == joined(two, one)
    assert joined(joined(one, two), three) == joined(one, joined(two, three))
    both = joined(one, two)
    assert joined(both, both) == joined(both, one) == joined(both, two) == both


def test_the_first_proof_stands_and_a_second_machines_is_counted() -> None:
    here = Delivery(
        "d", "f", "push", NOW, 1, "delivered", NOW + timedelta(seconds=5), "204", machine="standby"
    )
    there = Delivery("d", "f", "push", NOW, 1, "delivered", NOW, "204", machine="active")
    both = joined(here, there)
    assert (both.machine, both.delivered_at, both.copies) == ("active", NOW, 2)


def test_a_notice_kept_by_one_machine_is_kept_although_the_other_took_it_for_late() -> None:
    kept = _duty(NOW, NOW + timedelta(minutes=1), "", "push")
    late = _duty(NOW, None, "late", "")
    assert joined(late, kept).state == "kept"
