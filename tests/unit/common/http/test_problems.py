"""Messages about a field are Chinese for everything pydantic can find wrong."""

import re
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import pytest
from aiohttp import web
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)

from services.common.http.problems import FieldError, Problem, from_validation, invalid, not_found
from services.common.text import Line


class _Colour(Enum):
    BLUE = "blue"


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    n: int


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "x"),
        (int, None),
        (int, 1.5),
        (int, "9" * 5000),
        (float, "x"),
        (float, []),
        (Annotated[float, Field(gt=0)], 0),
        (Annotated[float, Field(lt=0)], 0),
        (Annotated[float, Field(allow_inf_nan=False)], float("inf")),
        (Annotated[int, Field(multiple_of=5)], 3),
        (bool, "x"),
        (bool, 2),
        (str, 1),
        (Annotated[str, StringConstraints(min_length=1)], ""),
        (Annotated[str, StringConstraints(max_length=1)], "xx"),
        (Annotated[str, StringConstraints(pattern="^a$")], "b"),
        (Line, "a\nb"),
        (Line, "  "),
        (bytes, 1),
        (date, "x"),
        (date, 1.5),
        (date, "2026-13-01"),
        (date, "2026-04-01T01:00:00"),
        (datetime, "x"),
        (datetime, {}),
        (AwareDatetime, "2026-04-01T08:00:00"),
        (time, "25:00"),
        (Decimal, "x"),
        (UUID, "x"),
        (_Colour, "red"),
        (Literal["a", "b"], "c"),
        (Literal["a"], []),
        (list[int], 1),
        (list[int], ["x"]),
        (Annotated[list[int], Field(min_length=1)], []),
        (Annotated[list[int], Field(max_length=1)], [1, 2]),
        (tuple[int, ...], 1),
        (frozenset[int], 1),
        (dict[str, int], 1),
        (dict[str, int], {"a": "x"}),
        (_Inner, 1),
        (_Inner, {"n": "x"}),
        (_Inner, {"n": 1, "m": 2}),
        (_Inner, {}),
        (int | None, "x"),
    ],
)
def test_a_message_is_chinese_and_names_the_field(kind: Any, value: Any) -> None:
    model = create_model("Model", field=(kind, ...))
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"field": value})
    for error in from_validation(caught.value).errors or []:
        assert error.field.split(".")[0] == "field"
        assert re.search("[一-鿿]", error.message), error
        assert not re.search("[Ii]nput|should|valid", error.message), error


def test_what_is_wrong_with_the_whole_is_named_so() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(_Inner).validate_python(1)
    assert (from_validation(caught.value, whole="query").errors or [])[0].field == "query"


def test_a_problem_is_the_document_of_rfc_9457() -> None:
    problem = Problem(
        409, "same_person", "须由另一人批准", detail="起草人：张三", headers={"X": "1"}, who="a1"
    )
    response = problem.response()
    assert isinstance(response, web.Response)
    assert (response.status, response.content_type) == (409, "application/problem+json")
    assert response.headers["X"] == "1"
    assert isinstance(response.body, bytes)
    assert orjson.loads(response.body) == {
        "type": "about:blank",
        "title": "须由另一人批准",
        "status": 409,
        "code": "same_person",
        "detail": "起草人：张三",
        "who": "a1",
    }


def test_one_wrong_field_and_nothing_found() -> None:
    problem = invalid("plate", "不是有效的车牌", code="invalid_plate", suggestion="苏D10001")
    assert (problem.status, problem.code) == (422, "invalid_plate")
    assert problem.errors == [FieldError(field="plate", message="不是有效的车牌")]
    assert problem.extra == {"suggestion": "苏D10001"}
    assert (not_found("此案").status, not_found("此案").title) == (404, "没有找到此案")
