import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.events import AttemptOutcome
from services.common.settings import RedialRules
from services.outbound.lines import Route
from services.outbound.redial import MOST_MOVES, Conclude, Redial, Try, next_step

RULES = RedialRules(busy=[60, 120], no_answer=[120, 300], congestion=[5, 15, 30], hung_up=[60])
OUTCOMES: list[AttemptOutcome] = [
    "agreed",
    "disputed",
    "refused",
    "wanted_operator",
    "no_input",
    "hung_up",
    "busy",
    "no_answer",
    "declined",
    "unallocated",
    "congestion",
    "failed",
    "unknown",
]
IN_VAIN: list[AttemptOutcome] = [
    "no_input",
    "hung_up",
    "busy",
    "no_answer",
    "declined",
    "unallocated",
    "congestion",
]

CASES: list[tuple[list[tuple[int, AttemptOutcome]], int, Redial | Conclude]] = [
    # the first busy waits a minute, the second two
    ([(0, "busy")], 1, Redial(0, 60, "rule")),
    ([(0, "busy"), (0, "busy")], 1, Redial(0, 120, "rule")),
    # the third is one too many, and there is no other number
    ([(0, "busy")] * 3, 1, Conclude("exhausted")),
    # with another number, that one is rung at once
    ([(0, "busy")] * 3, 2, Redial(1, 0, "next_number")),
    # the next number has waits of its own
    ([(0, "busy"), (0, "busy"), (0, "busy"), (1, "busy")], 2, Redial(1, 60, "rule")),
    # each outcome is counted by itself: this is the first no_answer
    ([(0, "busy"), (0, "no_answer")], 1, Redial(0, 120, "rule")),
    # an outcome without a rule moves on at once
    ([(0, "declined")], 2, Redial(1, 0, "next_number")),
    ([(0, "no_input")], 2, Redial(1, 0, "next_number")),
    # nobody there: the wrong number is never rung again
    ([(0, "unallocated")], 2, Redial(1, 0, "next_number")),
    # every number was wrong: that is for a person, the plate may be mistyped
    ([(0, "unallocated")], 1, Conclude("no_numbers")),
    ([(0, "unallocated"), (1, "unallocated")], 2, Conclude("no_numbers")),
    # one of them rang: the owner exists and was not reached
    ([(0, "unallocated"), (1, "declined")], 2, Conclude("exhausted")),
    ([(0, "declined"), (1, "unallocated")], 2, Conclude("exhausted")),
    # tries in vain, to the end
    ([(0, "hung_up"), (0, "hung_up")], 1, Conclude("exhausted")),
    ([(0, "no_input")], 1, Conclude("exhausted")),
    # what the owner decided is final, also with numbers left
    ([(0, "busy"), (0, "agreed")], 3, Conclude("agreed")),
    ([(0, "disputed")], 3, Conclude("disputed")),
    ([(0, "refused")], 3, Conclude("refused")),
    ([(0, "wanted_operator")], 3, Conclude("wanted_operator")),
    # a fault of ours would only be repeated
    ([(0, "failed")], 3, Conclude("failed")),
    # it may have rung: never again without a person
    ([(0, "unknown")], 3, Conclude("unknown")),
    ([(0, "busy"), (0, "unknown")], 3, Conclude("unknown")),
]


@pytest.mark.parametrize(("tries", "numbers", "step"), CASES)
def test_the_next_step_follows_from_the_tries(
    tries: list[tuple[int, AttemptOutcome]], numbers: int, step: Redial | Conclude
) -> None:
    assert next_step([Try(*item) for item in tries], RULES, numbers) == step


waits = st.lists(st.floats(0, 86_400), max_size=4)
rules = st.builds(RedialRules, busy=waits, no_answer=waits, congestion=waits, hung_up=waits)


@given(rules=rules, numbers=st.integers(1, 4), fate=st.lists(st.sampled_from(OUTCOMES), min_size=80))
def test_whatever_happens_the_contact_is_concluded_within_its_rules(
    rules: RedialRules, numbers: int, fate: list[AttemptOutcome]
) -> None:
    tries: list[Try] = []
    step: Redial | Conclude = Redial(0, 0, "rule")
    most = 1 + sum(len(getattr(rules, name)) for name in RedialRules.model_fields)
    for outcome in fate:
        assert isinstance(step, Redial)
        assert step.wait >= 0
        assert not tries or step.number_index - tries[-1].number_index in {0, 1}
        tries.append(Try(step.number_index, outcome))
        assert sum(past.number_index == step.number_index for past in tries) <= most
        step = next_step(tries, rules, numbers)
        if isinstance(step, Conclude):
            break
    assert isinstance(step, Conclude)
    assert step.outcome != "unknown" or tries[-1].outcome == "unknown"


@given(rules=rules, numbers=st.integers(1, 4), before=st.lists(st.sampled_from(IN_VAIN), max_size=6))
def test_nobody_is_rung_after_a_call_whose_end_is_not_known(
    rules: RedialRules, numbers: int, before: list[AttemptOutcome]
) -> None:
    tries = [*(Try(0, outcome) for outcome in before), Try(0, "unknown"), Try(0, "busy")]
    assert next_step(tries[:-1], rules, numbers) == Conclude("unknown")
    assert next_step(tries, rules, numbers) == Conclude("unknown")


A1, B1, C1, A2, B2 = (Route(node, trunk) for node, trunk in ("1a", "1b", "1c", "2a", "2b"))


def unrung(route: Route, *, moved: bool = False) -> Try:
    return Try(0, "congestion", route, moved, unrung=True)


def seen(past: Try) -> Try:
    """As an earlier try is read again: whether a phone rang is known of the last one alone."""
    return Try(past.number_index, past.outcome, past.route, past.moved)


MOVES: list[tuple[list[Try], list[Route], Redial]] = [
    # the trunk failed before any phone rang: at once over another one, not after five seconds
    ([unrung(A1)], [A1, B1], Redial(0, 0, "trunk_failed_unrung", B1)),
    # the preferred one first
    ([unrung(A1)], [C1, B1], Redial(0, 0, "trunk_failed_unrung", C1)),
    # another trunk before the same trunk by way of another node
    ([unrung(A1)], [A2, B1], Redial(0, 0, "trunk_failed_unrung", B1)),
    ([unrung(A1)], [A2], Redial(0, 0, "trunk_failed_unrung", A2)),
    # none in service but where it failed: the ordinary rule
    ([unrung(A1)], [], Redial(0, 5, "rule")),
    ([unrung(A1)], [A1], Redial(0, 5, "rule")),
    # it may have rung: the ordinary rule, however many trunks there are
    ([Try(0, "congestion", A1)], [A1, B1], Redial(0, 5, "rule")),
    ([Try(0, "no_answer", A1)], [A1, B1], Redial(0, 120, "rule")),
    # a third trunk after the second failed too
    ([seen(unrung(A1)), unrung(B1, moved=True)], [A1, C1], Redial(0, 0, "trunk_failed_unrung", C1)),
    # every trunk failed: the first wait, as if it had been one call
    ([seen(unrung(A1)), unrung(B1, moved=True)], [A1, B1], Redial(0, 5, "rule")),
    # after the wait it may be offered to all of them again, and the second wait follows
    (
        [seen(unrung(A1)), seen(unrung(B1, moved=True)), unrung(A1)],
        [A1, B1],
        Redial(0, 0, "trunk_failed_unrung", B1),
    ),
    (
        [seen(unrung(A1)), seen(unrung(B1, moved=True)), seen(unrung(A1)), unrung(B1, moved=True)],
        [A1, B1],
        Redial(0, 15, "rule"),
    ),
]


@pytest.mark.parametrize(("tries", "routes", "step"), MOVES)
def test_a_call_that_rang_nobody_is_offered_to_another_trunk_at_once(
    tries: list[Try], routes: list[Route], step: Redial
) -> None:
    assert next_step(tries, RULES, 1, routes) == step


@given(rules=rules, failing=st.lists(st.booleans(), min_size=200))
def test_trunks_that_all_fail_do_not_keep_a_call_going_round(rules: RedialRules, failing: list[bool]) -> None:
    routes = [A1, B1, C1, A2, B2]
    tries: list[Try] = []
    step: Redial | Conclude = Redial(0, 0, "rule", A1)
    for is_unrung in failing:
        assert isinstance(step, Redial)
        moved = step.reason == "trunk_failed_unrung"
        assert not moved or tries[-1].unrung
        tries.append(Try(0, "congestion", step.route or A1, moved, is_unrung))
        step = next_step(tries, rules, 1, routes)
        if isinstance(step, Conclude):
            break
    assert step == Conclude("exhausted")
    waited = sum(not past.moved for past in tries)
    assert waited == 1 + len(rules.congestion)
    assert len(tries) <= waited * (1 + MOST_MOVES)
