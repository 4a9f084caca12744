"""Structured logs; plates and phone numbers are redacted here and nowhere else (E2)."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_META = frozenset({"_record", "_from_structlog"})  # structlog's own, never printed
_DIGIT = re.compile(r"\d")

# A separator people put into numbers; where a number may begin: not inside a longer word or number, not in a
# fraction, but right after an escaped line end of somebody's repr().
_GAP = "[ -]?"
_BEGIN = r"(?:(?<![0-9A-Za-z])(?<![0-9]\.)|(?<=\\[nrt]))"
_END = "(?![0-9A-Za-z])"
_MOBILE = rf"0?[1１][3-9３-９]\d{_GAP}\d{{4}}{_GAP}\d{{4}}"
_SUBSCRIBER = rf"\d{{3,4}}{_GAP}\d{{4}}"
_PHONE = re.compile(
    rf"{_BEGIN}(?:"
    rf"(?:(?:\+|%2B|00)?86{_GAP})?(?:{_MOBILE}|[(（]?0\d{{2,3}}[)）]?{_GAP}{_SUBSCRIBER})"
    rf"|(?:\+|%2B|00)86{_GAP}[1-9]\d{{1,2}}{_GAP}{_SUBSCRIBER}"
    rf"){_END}",
    re.IGNORECASE,
)

_PROVINCE = "[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]"
_ESCAPED = r"(?:\\u[0-9a-f]{4}|(?:\\x[0-9a-f]{2}){3}|(?:%[0-9a-f]{2}){3})"
_LETTER = "[A-Za-zＡ-Ｚａ-ｚ]"
_SERIAL = "[A-Za-zＡ-Ｚａ-ｚ0-9０-９]"
_DOT = "[ ·.・•‧-]?"
_PLATE = re.compile(
    "|".join(
        (
            rf"{_PROVINCE}{_DOT}{_LETTER}{_DOT}(?={_SERIAL}*\d){_SERIAL}{{3,6}}(?:警|学|挂|港|澳|领|应急)?",
            rf"{_PROVINCE}{_DOT}{_SERIAL}\d{{4}}(?:领|应急)",
            rf"应急{_DOT}{_PROVINCE}{_DOT}\d{{3}}{_LETTER}",
            rf"使{_DOT}\d{{3}}{_DOT}\d{{3}}|\d{{3}}{_DOT}\d{{3}}{_DOT}使(?!用)",
            # The army's and the armed police's, which go to a person.
            rf"{_BEGIN}[ABCEGHJKLNSVZ][A-HJ-NP-Z]{_DOT}\d{{4}}[0-9A-Z]{_END}",
            rf"[军海空北沈兰济南广成]{_DOT}[A-HJ-NP-Z]{_DOT}\d{{4}}[0-9A-Z]",
            rf"{_BEGIN}WJ{_DOT}(?:{_PROVINCE}{_DOT})?\d{{2}}[消边通森金警电水]?{_DOT}\d{{2,5}}[0-9A-Z]?",
            # As it stands in reprs and URLs, and as it is handed to the PBX to be spoken.
            rf"(?i:{_ESCAPED}(?:\.|-|{_ESCAPED})?[a-z](?=[a-z0-9]*\d)[a-z0-9]{{4,6}})",
            rf"{_BEGIN}u[0-9a-f]{{4,5}}(?:-[a-z0-9]{{1,8}}){{4,9}}",
        )
    )
)


def redact(text: str) -> str:
    """Return `text` with phone numbers and plates replaced by marks that keep only their last two places."""
    if not _DIGIT.search(text):
        return text
    text = _PHONE.sub(lambda match: f"[phone…{match.group()[-2:]}]", text)
    return _PLATE.sub(lambda match: f"[plate…{match.group()[-2:]}]", text)


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray):
        return redact(value.decode(errors="backslashreplace"))
    if isinstance(value, Mapping):
        return {_redact_value(key): _redact_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(item) for item in value]
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        redacted = redact(str(value))
        return value if redacted == str(value) else redacted
    return redact(str(value))


def redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact every value of a log event, tracebacks included (a structlog processor)."""
    for key, value in event.items():
        if key not in _META:
            event[key] = _redact_value(value)
    return event


def configure_logs(log_format: str, service: str) -> None:
    """Send structlog's and the standard library's records to standard error, one redacted event a line."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_event,
        structlog.processors.TimeStamper(fmt="iso", utc=True),  # last: there is nothing to redact in it
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Access lines carry query strings, and query strings carry plates; our own middleware logs requests.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)
