"""The parts that are watched, and which of them keep citizens from being served when they are down (C4)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A watched part: its name for people, and whether its being down is downtime for the 110 desk.

    `said` is what a notice says has happened to it. Each machine of a pair has a `local` part for itself.
    """

    title: str
    downtime: bool
    said: str = "发生故障"
    local: bool = False


PARTS: Mapping[str, Part] = {
    "movecar": Part("挪车受理服务", downtime=True),
    "outbound": Part("外呼服务", downtime=True),
    "escalation": Part("110通知服务", downtime=True),
    "database": Part("数据库", downtime=True),
    "redis": Part("消息总线", downtime=True),
    "pbx": Part("电话交换机", downtime=True),
    "trunk": Part("电话中继线路", downtime=True),
    "registry": Part("车辆登记信息查询", downtime=True),
    "disk": Part("磁盘（无法写入）", downtime=True, local=True),
    # Everything runs and nobody is served all the same: no case is taken, or no owner is reached.
    "operators": Part("坐席", downtime=True, said="无人登录"),
    "calls_stopped": Part("呼叫车主", downtime=True, said="全部失败"),
    # Nobody is turned away yet: these tell the supervisor before it comes to that.
    "disk_low": Part("磁盘空间", downtime=False, local=True),
    "trunks_out": Part("部分电话中继线路", downtime=False),
    "clock": Part("系统时钟", downtime=False, local=True),
    "certificate": Part("安全证书", downtime=False, said="即将到期"),
    "certificate_expired": Part("安全证书有效期", downtime=False, said="已过"),
    "calls": Part("呼叫成功率", downtime=False, said="低于正常水平"),
    "recordings": Part("通话录音", downtime=False),
    "unanswered": Part("移交110的事件", downtime=False, said="无人接收"),
    "peer": Part("双机对端", downtime=False, said="无联系或不一致", local=True),
}

INCIDENTS: Mapping[str, str] = {
    "call_without_attempt": "交换机呼出，本系统无记录",
    "called_twice": "同一次拨号呼出两次",
    "called_undialled": "未拨号却有呼出",
    "attempt_without_case": "拨号没有对应案件",
    "attempt_without_call_record": "拨号没有交换机话单",
    "answered_without_recording": "接通却没有录音",
    "disposition_differs": "接通与否不一致",
    "duration_differs": "通话时长不一致",
    "unknown_call": "呼叫结果不明",
    "call_record_unreadable": "话单无法读取",
    "call_records_unavailable": "话单文件取不到",
    "call_records_lost": "话单丢失",
    "recording_missing": "录音缺失",
    "recording_damaged": "录音损坏",
    "recordings_stalled": "录音无法入库",
    "recording_foreign": "录音目录里有不明文件",
    "night_spike": "夜间呼叫异常增多",
    "call_spike": "呼叫异常增多",
    "toll_fraud": "疑似盗打",
    "trunk_out": "中继停用",
}
"""What each kind of incident is called, here and in the console."""
_INCIDENT = "incident_"


def part(name: str) -> Part:
    """Return a part; one that is not in the table was named by a person or an incident.

    A person who opens a fault says that it is downtime. An incident (`incident_…`) is for the supervisor.
    """
    known = PARTS.get(name)
    if known is not None:
        return known
    kind = name.removeprefix(_INCIDENT)
    return Part(name, downtime=True) if kind == name else Part(INCIDENTS.get(kind, kind), downtime=False)
