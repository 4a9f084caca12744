"""The clauses on the contract board, who answers for each, and where its proof can be read.

A clause is added by a row here and a source of the same id in the service that owns its tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Neighbour = Literal["movecar", "outbound", "escalation"]


@dataclass(frozen=True, slots=True)
class Proof:
    """A list that proves a clause: its path below `/api/v1`, and the console's page, if it has one."""

    label: str
    path: str
    page: str = ""


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause: the requirement's id, the contract's article, what it promises, and who has the evidence."""

    id: str
    origin: str
    text: str
    service: Neighbour
    proofs: tuple[Proof, ...]


_INCIDENTS: Final = Proof("未处理的异常", "/incidents?status=open", "incidents")

CLAUSES: Final[Sequence[Clause]] = (
    Clause(
        "B4",
        "附件二第13条",
        "没有案件不呼叫车主；每次呼叫与交换机话单双向核对。",
        "outbound",
        (_INCIDENTS, Proof("话单", "/call-records", "checking")),
    ),
    Clause(
        "B8",
        "2(4)",
        "通话全部录音，可查询、可回放，保存三年。",
        "outbound",
        (_INCIDENTS, Proof("录音", "/recordings", "recordings")),
    ),
    Clause(
        "C2",
        "2(5)",
        "移交110的消息编号连续、不丢失，接警台可随时补读。",
        "escalation",
        (Proof("推送情况", "/feed/push"),),
    ),
    Clause(
        "C3",
        "2(5)",
        "接警台未签收的，逐级催办直至有人签收；紧急求助立即电话通知。",
        "escalation",
        (Proof("移交110的案件", "/cases?status=escalated", "search"),),
    ),
    Clause(
        "C4",
        "2(5)",
        "服务中断后 30 分钟内、恢复后 30 分钟内通知110接警台，并留存凭证。",
        "escalation",
        (Proof("故障与通知", "/faults", "faults"), Proof("最近一次演练", "/faults/drills/last", "faults")),
    ),
)
