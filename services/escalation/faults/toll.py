"""The sentence that says what an outage cost: what was counted, and what nobody knows (C4)."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]

NOTHING_KNOWN: Final = "故障期间的影响尚无法统计。"
_NEVER_KNOWN: Final = "未能打进或未能登记的求助无法统计。"


class _Counted(BaseModel):
    """Figures as a neighbour gives them: what else it says is none of our business."""

    model_config = ConfigDict(frozen=True)


class Cases(_Counted):
    """What movecar counted; the fields mean what they do there."""

    opened: Number
    lookups_failed: Number
    to_person: Number
    to_desk: Number
    undelivered: Number


class Calls(_Counted):
    """What outbound counted; the fields mean what they do there."""

    placed: Number
    failed: Number
    unknown: Number
    under_way: Number
    waiting: Number
    unrecorded: Number | None = None


class Desk(_Counted):
    """Cases handed to the desk, how many of them late, and calls to its line of unknown end."""

    handed_over: Number
    late: Number
    unclear: Number


def sentence(cases: Cases | None, calls: Calls | None, desk: Desk | None) -> str:
    """Return the sentence; None: not known. It never says 0 of what is not known.

    What is known takes more words than that it is not: of two machines' sentences the longer one is kept.
    """
    if cases is None and calls is None and desk is None:
        return NOTHING_KNOWN
    parts = (
        "受理情况不明" if cases is None else _cases(cases),
        "呼叫车主情况不明" if calls is None else _calls(calls),
        "移交110情况不明" if desk is None else _desk(desk),
    )
    return f"故障期间：{'；'.join(parts)}。{_NEVER_KNOWN}"


def _cases(found: Cases) -> str:
    return (
        f"受理{found.opened}件，车辆查询失败{found.lookups_failed}次，"
        f"因故障转人工{found.to_person}件，逾时转接警台{found.to_desk}件，"
        f"待送达接警台{found.undelivered}件"
    )


def _calls(found: Calls) -> str:
    unrecorded = f"，录音未到{found.unrecorded}个" if found.unrecorded else ""
    return (
        f"呼叫车主{found.placed}次，失败{found.failed}次，结果不明{found.unknown}次，"
        f"未结束{found.under_way}次，恢复时待拨{found.waiting}次{unrecorded}"
    )


def _desk(found: Desk) -> str:
    return f"移交110案件{found.handed_over}件，其中迟到{found.late}件，接警台电话结果不明{found.unclear}次"
