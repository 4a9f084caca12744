"""Errors as RFC 9457 problem documents with a stable `code`; what is wrong with a field is said by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class FieldError(BaseModel):
    """One wrong field of a request and what to do about it."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """The body of every error (RFC 9457)."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = "about:blank"
    title: str
    status: int
    code: str = Field(description="Stable, machine-readable; never renamed")
    detail: str | None = None
    errors: list[FieldError] | None = None


class Problem(Exception):
    """Raised anywhere below a handler; the boundary turns it into the answer and rolls the work back."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str | None = None,
        errors: Sequence[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{status} {code}: {title}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = list(errors) if errors is not None else None
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self) -> web.Response:
        """Return the answer that tells a client of this problem."""
        document: dict[str, Any] = {"type": "about:blank", "title": self.title, "status": self.status}
        document["code"] = self.code
        if self.detail is not None:
            document["detail"] = self.detail
        if self.errors is not None:
            document["errors"] = [error.model_dump() for error in self.errors]
        return web.Response(
            status=self.status,
            body=orjson.dumps(document | self.extra),
            content_type="application/problem+json",
            headers=self.headers,
        )


def invalid(field: str, message: str, *, code: str = "invalid_request", **extra: Any) -> Problem:
    """Return the 422 for one wrong field."""
    return Problem(422, code, "请求有误", errors=[FieldError(field=field, message=message)], **extra)


def not_found(what: str) -> Problem:
    """Return the 404 for an object that does not exist, or that this person may not know of."""
    return Problem(404, "not_found", f"没有找到{what}")


_MAX_ERRORS = 50
"""A body of nothing but unknown fields must not be answered with a book."""

_MESSAGES = {
    "missing": "必填",
    "extra_forbidden": "未知字段",
    "string_type": "应为文本",
    "string_too_short": "不能为空",
    "int_parsing": "应为整数",
    "int_type": "应为整数",
    "float_type": "应为数字",
    "bool_type": "应为 true 或 false",
    "model_type": "应为 JSON 对象",
    "model_attributes_type": "应为 JSON 对象",
    "dict_type": "应为 JSON 对象",
    "list_type": "应为列表",
    "string_pattern_mismatch": "格式不正确",
    "bool_parsing": "应为 true 或 false",
    "float_parsing": "应为数字",
    "int_from_float": "应为整数",
    "int_parsing_size": "数字过大",
    "finite_number": "应为数字",
    "string_unicode": "不是有效的文本",
    "tuple_type": "应为列表",
    "set_type": "应为列表",
    "date_type": "应为日期，例如 2026-04-01",
    "date_parsing": "应为日期，例如 2026-04-01",
    "date_from_datetime_parsing": "应为日期，例如 2026-04-01",
    "date_from_datetime_inexact": "应为日期，例如 2026-04-01",
    "datetime_type": "应为 RFC 3339 时间，例如 2026-04-01T08:00:00+08:00",
    "datetime_parsing": "应为 RFC 3339 时间，例如 2026-04-01T08:00:00+08:00",
    "datetime_from_date_parsing": "应为 RFC 3339 时间，例如 2026-04-01T08:00:00+08:00",
    "timezone_aware": "时间必须带时区，例如 +08:00",
}


def _message(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    match kind:
        case "string_too_long":
            return f"最多 {context['max_length']} 个字符"
        case "literal_error" | "enum":
            return f"应为其中之一：{context['expected'].replace(' or ', ', ')}"
        case "greater_than_equal":
            return f"不能小于 {context['ge']}"
        case "less_than_equal":
            return f"不能大于 {context['le']}"
        case "greater_than":
            return f"应大于 {context['gt']}"
        case "less_than":
            return f"应小于 {context['lt']}"
        case "too_short":
            return f"至少 {context['min_length']} 项"
        case "too_long":
            return f"最多 {context['max_length']} 项"
        case "value_error":  # raised by a validator of ours, in the user's language
            return str(context["error"])
    return "格式不正确"


def from_validation(error: ValidationError, *, whole: str = "body") -> Problem:
    """Return the 422 that names every wrong field of a model; `whole` names the input itself."""
    errors = [
        FieldError(field=".".join(str(part) for part in item["loc"]) or whole, message=_message(item))
        for item in error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]
    ]
    return Problem(422, "invalid_request", "请求有误", errors=errors)
