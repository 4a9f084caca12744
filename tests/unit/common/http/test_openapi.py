"""The document is valid OpenAPI, complete, and true: answers are what it says they are."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis.openapi

from services.common.http.endpoint import Answer, Body, Call, Endpoint
from services.common.http.openapi import make_openapi, render_docs
from tests.support.running import Client
from tests.unit.common.http.conftest import Part, Running


@pytest.fixture
def document(endpoints: list[Endpoint]) -> dict[str, Any]:
    return make_openapi(endpoints)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()


def test_every_schema_is_valid_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(schema)
    assert {reference.removeprefix("#/components/schemas/") for reference in _references(document)} <= set(
        schemas
    )


def test_every_operation_has_its_own_id(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_what_the_boundary_does_is_in_the_document(document: dict[str, Any]) -> None:
    make = document["paths"]["/api/v1/things"]["post"]
    assert make["requestBody"]["required"] is True
    assert set(make["responses"]) == {"201", "400", "401", "403", "409", "413", "415", "422", "503"}
    assert [parameter["name"] for parameter in make["parameters"]] == ["Idempotency-Key"]
    assert make["security"] == [{"bearer": []}, {"cookie": []}]
    assert document["paths"]["/api/v1/offers"]["post"]["security"] == []
    find = document["paths"]["/api/v1/things/{name}"]["get"]
    assert "404" in find["responses"]
    assert find["parameters"] == [
        {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    ]


def test_query_parameters_say_their_bounds(document: dict[str, Any]) -> None:
    parameters = {
        parameter["name"]: parameter for parameter in document["paths"]["/api/v1/things"]["get"]["parameters"]
    }
    assert set(parameters) == {"limit", "cursor", "kind"}
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert not any(parameter["required"] for parameter in parameters.values())


def test_bodies_refuse_unknown_fields_in_the_document_too(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["NewThing"]["additionalProperties"] is False
    assert document["components"]["schemas"]["Part"]["additionalProperties"] is False


def test_a_query_that_nests_is_refused_when_it_is_declared() -> None:
    class Nested(Body):
        part: Part

    async def nothing(call: Call[Any, Any]) -> Answer:
        return Answer(204)

    with pytest.raises(ValueError, match="must be plain"):
        make_openapi([Endpoint("GET", "/x", "X", nothing, {204: None}, query=Nested)])


@pytest.mark.parametrize(
    ("method", "path", "body", "schema"),
    [
        ("POST", "/things", {"name": "一"}, "Thing"),
        ("GET", "/things", None, "Page"),
        ("GET", "/things/nobody", None, "ProblemDocument"),
        ("POST", "/things", {"name": 1, "x": 2}, "ProblemDocument"),
    ],
)
async def test_answers_are_what_the_document_says(
    operator: Client, method: str, path: str, body: Any, schema: str
) -> None:
    _, document = await operator.get("/openapi.json")
    _, answer = await (operator.post(path, body) if method == "POST" else operator.get(path))
    rules = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    jsonschema_rs.validate(rules, answer)


async def test_the_page_for_people_shows_every_operation_without_scripts(
    running: Running, operator: Client
) -> None:
    async with operator.http.get(f"http://{running.address}/docs") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        page = await response.text()
    for path in ("/api/v1/things/{name}", "/api/v1/clearance"):
        assert f"<code>GET {path}</code>" in page or f"<code>POST {path}</code>" in page
    assert "<script" not in page
    assert "http://" not in page.replace(f"http://{running.address}", "")
    anchors = set(re.findall(r'href="#([^"]+)"', page))
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))


def test_the_page_escapes_what_it_shows(document: dict[str, Any]) -> None:
    document["paths"]["/api/v1/things"]["get"]["summary"] = "<script>alert(1)</script>"
    assert "<script>" not in render_docs(document)
