"""What counts as a broken promise."""

from dataclasses import replace

import pytest

from tests.reliability.verdict import AttemptSeen, Story, judge

AGREED = Story("1", "agreed", [AttemptSeen("a", "agreed", True)], ["agreed"], invites=1, answers=1)
UNKNOWN = replace(AGREED, attempts=[AttemptSeen("a", "unknown", True)], conclusions=["unknown"])
BUSY = AttemptSeen("a", "busy", True)


def test_a_call_that_ended_as_the_owner_played_keeps_every_promise() -> None:
    verdict = judge(AGREED)
    assert (verdict.broken, verdict.known, verdict.unknown) == ([], 1, 0)


def test_a_call_that_nobody_can_know_of_is_counted_and_breaks_nothing() -> None:
    verdict = judge(replace(UNKNOWN, invites=0, answers=0))
    assert (verdict.broken, verdict.unknown, verdict.never_rang) == ([], 1, 1)


@pytest.mark.parametrize(
    ("story", "promise"),
    [
        # the phone rang twice for one attempt
        (replace(AGREED, invites=2), "doubled"),
        # it rang and no attempt had been claimed
        (replace(AGREED, attempts=[AttemptSeen("a", "agreed", False)]), "doubled"),
        # dialled again although nobody knew what became of the first call
        (
            replace(
                AGREED,
                played="busy",
                attempts=[AttemptSeen("a", "unknown", True), BUSY],
                conclusions=["exhausted"],
                invites=2,
                answers=0,
                most=2,
            ),
            "doubled",
        ),
        # more tries than the rules allow
        (
            replace(
                AGREED, played="busy", attempts=[BUSY, BUSY], conclusions=["exhausted"], invites=2, answers=0
            ),
            "doubled",
        ),
        # never concluded
        (replace(AGREED, conclusions=[]), "lost"),
        # concluded while an attempt is still open
        (replace(AGREED, attempts=[AttemptSeen("a", None, True)]), "lost"),
        # never even an attempt
        (replace(AGREED, attempts=[], conclusions=[], invites=0, answers=0), "lost"),
        # told twice
        (replace(AGREED, conclusions=["agreed", "agreed"]), "wrong"),
        # told as something the owner did not do
        (replace(AGREED, attempts=[AttemptSeen("a", "disputed", True)], conclusions=["disputed"]), "wrong"),
        # the attempt is right, what was concluded from it is not
        (replace(AGREED, conclusions=["exhausted"]), "wrong"),
        # an outcome without a call
        (replace(AGREED, invites=0, answers=0), "wrong"),
        # the owner was spoken to, and the switch that knows was there all the time
        (UNKNOWN, "wrong"),
    ],
)
def test_a_broken_promise_is_told_by_its_name(story: Story, promise: str) -> None:
    verdict = judge(story)
    assert [name for name in ("doubled", "lost", "wrong") if getattr(verdict, name)] == [promise]


def test_a_switch_that_died_may_have_taken_the_answer_with_it() -> None:
    verdict = judge(replace(UNKNOWN, switch_died=True))
    assert (verdict.broken, verdict.unknown) == ([], 1)
