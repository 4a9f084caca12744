"""A row of the registry file, judged: a vehicle, or the reason it is none. Pure."""

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from services.movecar.plates import Color, InvalidColor, InvalidPlate, Plate, parse, parse_color
from services.movecar.registry.answers import MAX_PHONES, Vehicle, callable_phones, owner_name
from services.movecar.registry.csv_source import Line

HEADER = ("plate", "color", "owner", "phones")
"""The columns, in this order. Phones are separated by `;`, in calling order."""


class RowFault(StrEnum):
    """What is wrong with a row. The values are codes of the issues file and are never renamed."""

    LINE_TOO_LONG = "line_too_long"
    ENCODING = "encoding"
    QUOTES = "quotes"
    COLUMNS = "columns"
    PLATE = "plate"
    COLOR = "color"
    OWNER = "owner"
    PHONES = "phones"
    DUPLICATE = "duplicate"


_MESSAGES = {
    RowFault.LINE_TOO_LONG: "行太长",
    RowFault.ENCODING: "字符编码损坏",
    RowFault.QUOTES: "引号不配对",
    RowFault.COLUMNS: f"应有 {len(HEADER)} 列",
    RowFault.COLOR: "车牌颜色缺失、无法识别或与号牌种类不符",
    RowFault.OWNER: "车主姓名缺失、过长或含有控制字符",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """Something operations must know of a line. It repeats nothing of the line: no plate, name or number."""

    line: int
    fault: RowFault
    message: str
    rejected: bool
    """Whether the whole row was left out; otherwise only some of its numbers were."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be stored, perhaps with an issue about its numbers."""

    line: int
    vehicle: Vehicle
    issue: Issue | None = None


def is_header(line: Line) -> bool:
    """Whether the line names exactly the columns of HEADER, in order; case and spaces don't matter."""
    return tuple(cell.strip().lower() for cell in line.cells) == HEADER


def judge(line: Line, own: Container[str]) -> Row | Issue:
    """Make a vehicle of a line. `own` are the service's own numbers, which are never called."""
    if line.fault is not None:
        return _rejected(line, RowFault(line.fault.value))
    if len(line.cells) != len(HEADER):
        return _rejected(line, RowFault.COLUMNS)
    # Spreadsheets put a tab before digits to keep them text.
    plate_text, color_text, owner_text, phones_text = (cell.strip(" \t") for cell in line.cells)
    try:
        plate = parse(plate_text)
    except InvalidPlate as error:
        return _rejected(line, RowFault.PLATE, error.message)
    color = _color(plate, color_text)
    if color is None:
        return _rejected(line, RowFault.COLOR)
    try:
        owner = owner_name(owner_text)
    except ValueError:
        return _rejected(line, RowFault.OWNER)
    phones, dropped, message = _phones(phones_text, own)
    issue = Issue(line.number, RowFault.PHONES, message, rejected=False) if message else None
    return Row(line.number, Vehicle(plate, color, owner, phones, dropped), issue)


def _phones(text: str, own: Container[str]) -> tuple[tuple[str, ...], int, str]:
    """Numbers that may be called, how many others there are, and what is wrong with those."""
    given = [part.strip(" \t") for part in text.replace("；", ";").split(";")]
    given = [part for part in given if part]
    phones, refused = callable_phones(given[:MAX_PHONES], own)
    findings = [error.message for error in refused]
    excess = len(given[MAX_PHONES:])
    if excess:
        findings.append(f"号码超过 {MAX_PHONES} 个，其余未载入")
    if not phones:
        findings.append("没有可以呼叫的号码")
    return phones, len(refused) + excess, "；".join(dict.fromkeys(findings))


def _color(plate: Plate, text: str) -> Color | None:
    if not text:
        return plate.colors[0] if len(plate.colors) == 1 else None
    try:
        color = parse_color(text)
    except InvalidColor:
        return None
    return color if plate.allows(color) else None


def _rejected(line: Line, fault: RowFault, message: str = "") -> Issue:
    return Issue(line.number, fault, message or _MESSAGES[fault], rejected=True)
