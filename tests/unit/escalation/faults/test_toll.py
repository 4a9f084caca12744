"""The sentence that says what an outage cost."""

from collections.abc import Sequence
from itertools import product

import pytest
from pydantic import ValidationError

from services.escalation.faults.toll import NOTHING_KNOWN, Calls, Cases, Desk, sentence

CASES = Cases(opened=12, lookups_failed=2, to_person=3, to_desk=1, undelivered=0)
CALLS = Calls(placed=20, failed=2, unknown=1, under_way=0, waiting=5, unrecorded=None)
DESK = Desk(handed_over=4, late=1, unclear=0)
SAID_OF_CASES = "受理12件，车辆查询失败2次，因故障转人工3件，逾时转接警台1件，待送达接警台0件"
SAID_OF_CALLS = "呼叫车主20次，失败2次，结果不明1次，未结束0次，恢复时待拨5次"
SAID_OF_DESK = "移交110案件4件，其中迟到1件，接警台电话结果不明0次"
END = "。未能打进或未能登记的求助无法统计。"


@pytest.mark.parametrize(
    ("cases", "calls", "desk", "said"),
    [
        # everything is known
        (CASES, CALLS, DESK, f"故障期间：{SAID_OF_CASES}；{SAID_OF_CALLS}；{SAID_OF_DESK}{END}"),
        # a service did not answer: it is named, and no figure of its is guessed
        (None, CALLS, DESK, f"故障期间：受理情况不明；{SAID_OF_CALLS}；{SAID_OF_DESK}{END}"),
        (CASES, None, DESK, f"故障期间：{SAID_OF_CASES}；呼叫车主情况不明；{SAID_OF_DESK}{END}"),
        (CASES, CALLS, None, f"故障期间：{SAID_OF_CASES}；{SAID_OF_CALLS}；移交110情况不明{END}"),
        (None, None, DESK, f"故障期间：受理情况不明；呼叫车主情况不明；{SAID_OF_DESK}{END}"),
        # nobody answered
        (None, None, None, NOTHING_KNOWN),
    ],
)
def test_what_is_known_is_said_and_what_is_not_is_named(
    cases: Cases | None, calls: Calls | None, desk: Desk | None, said: str
) -> None:
    assert sentence(cases, calls, desk) == said


@pytest.mark.parametrize(("unrecorded", "said"), [(None, ""), (0, ""), (3, "，录音未到3个")])
def test_recordings_are_named_only_where_some_are_missing(unrecorded: int | None, said: str) -> None:
    calls = CALLS.model_copy(update={"unrecorded": unrecorded})
    assert f"待拨5次{said}；" in sentence(CASES, calls, DESK)


@pytest.mark.parametrize("knows", [*product((True, False), repeat=3)])
def test_of_two_machines_sentences_the_one_that_knows_more_is_the_longer_one(knows: Sequence[bool]) -> None:
    for part in (one for one in range(3) if knows[one]):
        less = [known and one != part for one, known in enumerate(knows)]
        assert len(_of_zeros(*less)) < len(_of_zeros(*knows))


def _of_zeros(cases: bool, calls: bool, desk: bool) -> str:
    """The shortest sentence in which these are known."""
    return sentence(
        Cases(opened=0, lookups_failed=0, to_person=0, to_desk=0, undelivered=0) if cases else None,
        Calls(placed=0, failed=0, unknown=0, under_way=0, waiting=0) if calls else None,
        Desk(handed_over=0, late=0, unclear=0) if desk else None,
    )


@pytest.mark.parametrize("wrong", [-1, "12", 1.5, None, True, 10**30])
def test_what_is_no_figure_is_not_taken_for_one(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Cases.model_validate(
            {"opened": wrong, "lookups_failed": 0, "to_person": 0, "to_desk": 0, "undelivered": 0}
        )
