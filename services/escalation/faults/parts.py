"""The parts that are watched, and which of them keep citizens from being served when they are down (C4)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A watched part: its name for people, and whether its being down is downtime for the 110 desk."""

    title: str
    downtime: bool


PARTS: Mapping[str, Part] = {
    "movecar": Part("挪车受理服务", downtime=True),
    "outbound": Part("外呼服务", downtime=True),
    "escalation": Part("110通知服务", downtime=True),
    "database": Part("数据库", downtime=True),
    "redis": Part("消息总线", downtime=True),
    "pbx": Part("电话交换机", downtime=True),
    "trunk": Part("电话中继线路", downtime=True),
    "registry": Part("车辆登记信息查询", downtime=True),
    "disk": Part("磁盘（无法写入）", downtime=True),
    # Nobody is turned away yet: these tell the supervisor before it comes to that.
    "disk_low": Part("磁盘空间", downtime=False),
    "trunks_out": Part("部分电话中继线路", downtime=False),
    "clock": Part("系统时钟", downtime=False),
    "certificate": Part("安全证书", downtime=False),
    "operators": Part("坐席在线", downtime=False),
    "calls": Part("呼叫成功率", downtime=False),
    "recordings": Part("通话录音", downtime=False),
    "peer": Part("备机", downtime=False),
}


def part(name: str) -> Part:
    """Return a part; one that is not in the table was named by a person or an incident.

    A person who opens a fault says that it is downtime. An incident (`incident_…`) is for the supervisor.
    """
    known = PARTS.get(name)
    return known if known is not None else Part(name, downtime=not name.startswith("incident_"))
