"""What a request carries: path, query and body, checked before a rule, a socket or SQL sees them."""

import unicodedata
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ConfigDict, ValidationError

from services.common.http.problems import Problem, from_validation, invalid, not_found

MAX_BODY_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = 6 * 1024 * 1024
"""Largest body of the few requests that bring a file."""
_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Body(BaseModel):
    """Base of request bodies and queries: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Body):
    """An empty body or query."""


def check_path(request: web.Request) -> None:
    """Raise Problem 404 for an id with a control character: there is no such object."""
    if any(_control_character(value) for value in request.match_info.values()):
        raise not_found("此对象")


def parse_query(model: type[Body], request: web.Request) -> Body:
    """Return the query parameters. Raises Problem 422."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise invalid(_printable(name), "重复的查询参数")
        values[name] = value
    _refuse_control_characters(values, "query")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise from_validation(error, whole="query") from None


async def read_body(request: web.Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the bytes of the body. Raises Problem 413 above `limit`, 400 when it cannot be unpacked."""
    try:
        if limit <= MAX_BODY_BYTES:
            return await request.read()
        # the application's own limit is for the others
        read = bytearray()
        async for chunk in request.content.iter_any():
            read += chunk
            if len(read) > limit:
                break
        else:
            return bytes(read)
    except web.HTTPRequestEntityTooLarge:
        pass
    except (web.RequestPayloadError, HttpProcessingError):
        raise Problem(400, "invalid_body", "请求正文无法读取") from None
    raise Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"请求正文不能超过 {limit // 1024} KiB"
    )


def parse_body(model: type[Body], request: web.Request, raw: bytes) -> Body:
    """Return the body. Raises Problem 400, 415 or 422."""
    if not raw and not any(info.is_required() for info in model.model_fields.values()):
        return model()
    if raw and request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "请求正文应为 application/json")
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "invalid_json", "请求正文不是有效的 JSON", detail=str(error)) from None
    if not isinstance(data, dict):
        raise invalid("body", "应为 JSON 对象")
    _refuse_control_characters(data, "body")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise from_validation(error) from None


def _refuse_control_characters(data: Any, whole: str) -> None:
    """Raise Problem 422 naming the field of the first control character, however deep it is."""
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, str):
            if bad := _control_character(value):
                raise invalid(field or whole, f"不能包含控制字符 U+{ord(bad):04X}")
        elif isinstance(value, dict):
            for name, item in value.items():
                if _control_character(name):
                    raise invalid(field or whole, "字段名不能包含控制字符")
                waiting.append((f"{field}.{name}" if field else name, item))
        elif isinstance(value, list):
            waiting += [(f"{field}.{index}", item) for index, item in enumerate(value)]


def _control_character(text: str) -> str | None:
    if text.isprintable():
        return None
    return next((one for one in text if unicodedata.category(one) in _CONTROL_CATEGORIES), None)


def _printable(name: str) -> str:
    return name if name.isprintable() else "query"
