"""What two machines tell one another, and how it is read: signed, fresh, whole, or refused."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.escalation.desk_http import sign
from services.escalation.faults.detection.judge import Health
from services.escalation.faults.pair.joined import Shared
from services.escalation.faults.records import Delivery, Duty, Fault, Finding, Maintenance

Role = Literal["active", "standby"]
MAX_BYTES = 1024 * 1024
MAX_RECORDS = 200
MAX_APART = 60.0
"""Seconds between the two machines' clocks above which a message is taken for an old one."""
_KINDS: Mapping[str, type[Shared]] = {
    "fault": Fault,
    "duty": Duty,
    "delivery": Delivery,
    "finding": Finding,
    "maintenance": Maintenance,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_READ = {name: TypeAdapter(kind) for name, kind in _KINDS.items()}
_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
_Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class Refused(Exception):
    """A message that is not taken. `code` is stable; `status` is the HTTP status that says so."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@dataclass(frozen=True, slots=True)
class Place:
    """How far one has read what the other has to tell: of its life so-and-so, up to a mark."""

    life: str
    mark: int


@dataclass(frozen=True, slots=True)
class Message:
    """One side of an exchange.

    `life` is the sender's process, `number` counts its messages, `answers` names the message that this one
    answers. `steady` is for how many seconds the sender has been watching without a break; `well` whether
    its loops get round; `leaving` that it stops on purpose. `records` are changes up to `mark`; `have` is how
    far the sender has taken over the receiver's.
    """

    life: str
    number: int
    role: Role
    steady: float
    well: bool
    leaving: bool = False
    answers: str = ""
    readings: Mapping[str, Health] = field(default_factory=dict)
    records: tuple[Shared, ...] = ()
    mark: int = 0
    have: Place = Place("", 0)

    @property
    def name(self) -> str:
        """What an answer to this message names."""
        return f"{self.life}.{self.number}"


class _Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["fault", "duty", "delivery", "finding", "maintenance"]
    record: dict[str, Any]


class _Place(BaseModel):
    model_config = ConfigDict(extra="forbid")
    life: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]
    mark: _Count


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    life: _Id
    number: _Count
    role: Role
    steady: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    well: bool
    leaving: bool
    answers: Annotated[str, Field(max_length=60)]
    readings: Annotated[dict[Annotated[str, Field(max_length=40)], Health], Field(max_length=100)]
    records: Annotated[list[_Item], Field(max_length=MAX_RECORDS)]
    mark: _Count
    have: _Place


def write(message: Message) -> bytes:
    """Return the body that says it."""
    document = {one.name: getattr(message, one.name) for one in fields(message)}
    document["records"] = [{"kind": _NAMES[type(one)], "record": one} for one in message.records]
    return orjson.dumps(document)


def headers(secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """Return the headers that prove whose it is, and when it was said."""
    stamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "X-Movecar-Timestamp": stamp,
        "X-Movecar-Signature": sign(secret, stamp, body),
    }


def read(secret: str, given: Mapping[str, str], body: bytes, now: datetime) -> Message:
    """Return a message that is what the other machine says, and says now. Raises Refused."""
    stamp = given.get("X-Movecar-Timestamp", "")
    signature = given.get("X-Movecar-Signature", "")
    if not hmac.compare_digest(sign(secret, stamp, body).encode(), signature.encode()):
        raise Refused(401, "invalid_signature", "签名不符：两机须使用同一密钥")
    # Only who has the key comes further; what follows guards against repeats, clocks and other versions.
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= len("99999999999")):
        raise Refused(401, "invalid_timestamp", "时间戳有误")
    apart = now.timestamp() - int(stamp)
    if abs(apart) > MAX_APART:
        raise Refused(401, "stale_message", f"消息过期，或两机时钟相差{abs(apart):.0f}秒")
    try:
        document = _Document.model_validate_json(body)
        records = tuple(_record(item) for item in document.records)
    except (ValidationError, ValueError) as error:
        raise Refused(422, "invalid_message", "消息无法读取：两机版本可能不同") from error
    values = document.model_dump(exclude={"records", "have"})
    have = Place(document.have.life, document.have.mark)
    return Message(**values, records=records, have=have)


def _record(item: _Item) -> Shared:
    kind = _KINDS[item.kind]
    names = {one.name for one in fields(kind)}
    if item.record.keys() != names:
        raise ValueError("unknown or missing fields")
    found: Any = _READ[item.kind].validate_python(item.record)
    moments: dict[str, datetime] = {}
    for name in names:
        value = getattr(found, name)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError(f"{name} has no zone")
            moments[name] = value.astimezone(UTC)
    record: Shared = kind(**{name: moments.get(name, getattr(found, name)) for name in names})
    return record
