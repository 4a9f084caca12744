"""What a notice says: one text for people and one document for systems, the same on every repeat."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from services.common.clock import local
from services.common.http.times import Moment, rfc3339
from services.escalation.faults.parts import part
from services.escalation.faults.records import Duty, DutyKind, Fault, Maintenance

NoticeType = Literal["fault.opened", "fault.recovered", "fault.overrun", "fault.announced", "fault.alarm"]

_TYPES: dict[DutyKind, NoticeType] = {
    "fault": "fault.opened",
    "recovery": "fault.recovered",
    "overrun": "fault.overrun",
    "announcement": "fault.announced",
    "alarm_10": "fault.alarm",
    "alarm_20": "fault.alarm",
}


class FaultData(BaseModel):
    """`data` of a `fault.*` item: the fault as it stands, or the planned work that is announced."""

    model_config = ConfigDict(frozen=True)

    fault_id: str
    component: str = Field(description="Stable code of the part")
    title: str = Field(description="Name of the part for people")
    reason: str
    downtime: bool = Field(description="Whether citizens are not being served")
    planned: bool
    drill: bool
    began_at: Moment = Field(description="Last moment known good, or when the planned work begins")
    detected_at: Moment
    recovered_at: Moment | None = Field(description="First moment good again; the planned work's end")
    seconds: float | None = Field(description="How long it lasted")
    lost: str = Field(description="What the outage cost, as far as it can be known")
    due_at: Moment = Field(description="When this notice must have been given")
    text: str = Field(description="The notice for people")


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice ready to be sent. `id` is the same on every repeat and channel: readers drop doubles."""

    id: str
    type: NoticeType
    heading: str
    text: str
    occurred_at: datetime
    subject: str
    data: FaultData

    def item(self, seq: int = 0) -> bytes:
        """Return it as a feed item; `seq` 0 when it did not come through the feed."""
        document = {"seq": seq, "type": self.type, "id": self.id, "occurred_at": rfc3339(self.occurred_at)}
        return orjson.dumps(document | {"data": orjson.Fragment(self.data.model_dump_json())})


def write(duty: Duty, subject: Fault | Maintenance, desk_phone: str = "") -> Notice:
    """Return the notice that fulfils a duty."""
    fault = subject if isinstance(subject, Fault) else _as_fault(subject)
    named = part(fault.component)
    name = named.title
    mark = "【演练】" if fault.drill else ""
    planned = "（计划内维护）" if fault.planned and duty.kind != "announcement" else ""
    began = _clock(fault.began_at)
    reason = f"，原因：{fault.reason}" if fault.reason else ""
    match duty.kind:
        case "fault":
            heading = f"{mark}114挪车服务故障通知：{name}{planned}"
            text = f"{mark}114挪车服务{name}自{began}起{named.said}{planned}{reason}。恢复后将另行通知。"
        case "recovery":
            ended = fault.recovered_at or fault.detected_at
            heading = f"{mark}114挪车服务恢复通知：{name}{planned}"
            text = (
                f"{mark}114挪车服务{name}已于{_clock(ended)}恢复{planned}。故障自{began}开始，"
                f"持续{length(ended - fault.began_at)}{reason}。{fault.lost}"
            )
        case "overrun":
            heading = f"{mark}114挪车服务维护超时通知：{name}"
            text = f"{mark}114挪车服务{name}的计划内维护已超过公告时间，自{began}起仍未恢复。"
        case "announcement":
            until = fault.recovered_at or fault.began_at
            heading = f"{mark}114挪车服务维护公告：{name}"
            text = f"{mark}114挪车服务{name}计划于{began}至{_clock(until)}维护。{fault.reason}"
        case "alarm_10" | "alarm_20":
            what = "恢复" if "-recovery-" in duty.id else "故障"
            heading = f"{mark}告警：110接警台尚未收到{what}通知（{name}）"
            text = (
                f"{mark}{name}{what}后{duty.kind.removeprefix('alarm_')}分钟，110接警台仍未收到{what}通知"
                f"（故障始于{began}，须在{_clock(duty.due_at)}前告知）。请立即电话告知110接警台"
                f"{desk_phone}，并在系统中登记。"
            )
    ended_at = fault.recovered_at if duty.kind in {"recovery", "announcement"} else None
    data = FaultData(
        fault_id=subject.id,
        component=fault.component,
        title=name,
        reason=fault.reason,
        downtime=fault.downtime,
        planned=fault.planned,
        drill=fault.drill,
        began_at=fault.began_at,
        detected_at=fault.detected_at,
        recovered_at=ended_at,
        seconds=None if ended_at is None else (ended_at - fault.began_at).total_seconds(),
        lost=fault.lost if duty.kind == "recovery" else "",
        due_at=duty.due_at,
        text=text,
    )
    return Notice(notice_id(duty), _TYPES[duty.kind], heading, text, duty.since, subject.id, data)


def notice_id(duty: Duty) -> str:
    """Return the id of a duty's notice: 32 hexadecimal characters."""
    return hashlib.sha256(f"notice:{duty.id}".encode()).hexdigest()[:32]


def length(span: timedelta) -> str:
    """Return a length of time for people."""
    seconds = max(0, round(span.total_seconds()))
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    shown = [f"{hours}小时" if hours else "", f"{minutes}分" if minutes else ""]
    return "".join(shown) + (f"{rest}秒" if rest or not any(shown) else "")


def _clock(moment: datetime) -> str:
    return f"{local(moment):%Y年%m月%d日%H:%M:%S}"


def _as_fault(planned: Maintenance) -> Fault:
    return Fault(
        id=planned.id,
        component=planned.component,
        reason=planned.note,
        began_at=planned.begins_at,
        detected_at=planned.announced_at,
        source="person",
        audiences="",
        downtime=part(planned.component).downtime,
        planned=True,
        planned_until=planned.ends_at,
        recovered_at=planned.ends_at,
    )
