"""The OpenAPI document, made from the same declarations and models that validate."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.common.http.endpoint import API, Endpoint, Nothing
from services.common.http.problems import ProblemDocument

_TITLES = {
    400: "The body is not JSON",
    401: "No valid session",
    403: "Not allowed for this role",
    404: "No such object",
    409: "Not possible in the object's present state",
    413: "The body is too large",
    415: "The body is not application/json",
    416: "The range lies outside the object",
    422: "A field is wrong; `errors` names it",
    423: "The account is locked",
    500: "What is stored cannot be read",
    503: "Temporarily unavailable; try again",
}
_BODY_PROBLEMS = (400, 413, 415, 422)


def make_openapi(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these endpoints."""
    models: dict[type[BaseModel], None] = {ProblemDocument: None}
    for endpoint in endpoints:
        for model in (endpoint.body, *endpoint.answers.values()):
            if model is not None:
                models[model] = None
    references, definitions = models_json_schema(
        [(model, "validation" if _is_input(model, endpoints) else "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    schema = {model: reference for (model, _), reference in references.items()}
    problem = {"application/problem+json": {"schema": schema[ProblemDocument]}}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation: dict[str, Any] = {
            "summary": endpoint.summary,
            "operationId": f"{endpoint.method.lower()}{re.sub(r'[^a-zA-Z]+', '_', endpoint.path)}",
            "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
            "responses": {},
        }
        if endpoint.roles:
            operation["security"] = [{"bearer": []}, {"cookie": []}]
            operation["description"] = "Roles: " + ", ".join(sorted(endpoint.roles)) + "."
        else:
            operation["security"] = []
        if endpoint.atomic:
            operation["parameters"].append(
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
                }
            )
        if endpoint.body is not None:
            required = any(info.is_required() for info in endpoint.body.model_fields.values())
            operation["requestBody"] = {
                "required": required,
                "content": {"application/json": {"schema": schema[endpoint.body]}},
            }
        for status, model in endpoint.answers.items():
            operation["responses"][str(status)] = _answer(endpoint, schema[model] if model else None)
        problems = set(endpoint.problems) | {400, 413, 415, 422, 503}
        if endpoint.roles:
            problems |= {401, 403}
        if "{" in endpoint.path:
            problems.add(404)
        for status in sorted(problems):
            operation["responses"][str(status)] = {"description": _TITLES[status], "content": problem}
        paths.setdefault(API + endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "movecar",
            "version": "1",
            "description": "Dispatch of the 114 vehicle-move service. Times are RFC 3339 with +08:00.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "movecar_session"},
            },
        },
    }


def _is_input(model: type[BaseModel], endpoints: Sequence[Endpoint]) -> bool:
    return any(endpoint.body is model for endpoint in endpoints)


def _answer(endpoint: Endpoint, schema: dict[str, Any] | None) -> dict[str, Any]:
    if endpoint.stream:
        return {
            "description": "A live stream of server-sent events",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    if endpoint.media:
        content = {endpoint.media: {"schema": {"type": "string", "format": "binary"}}}
        return {"description": "The object, or the range of it that was asked for", "content": content}
    if schema is None:
        return {"description": "Done"}
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is Nothing:
        return []
    schema = endpoint.query.model_json_schema(by_alias=True)
    if "$defs" in schema:  # a reference would point into a document that is not there
        raise ValueError(f"{endpoint.path}: query parameters must be plain, {endpoint.query.__name__} nests")
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": {key: value for key, value in detail.items() if key != "title"},
        }
        for name, detail in schema.get("properties", {}).items()
    ]


def render_docs(document: dict[str, Any]) -> str:
    """Return the document as one readable page that needs no script and no other host."""
    rows = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            inputs = [
                f"<li><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}"
                f"{' (required)' if parameter['required'] else ''}</li>"
                for parameter in operation["parameters"]
            ]
            body = operation.get("requestBody")
            if body:
                inputs.append(f"<li>body: {_reference(body['content']['application/json']['schema'])}</li>")
            answers = [
                f"<li><code>{escape(status)}</code> {escape(answer['description'])} "
                + ", ".join(_reference(media["schema"]) for media in answer.get("content", {}).values())
                + "</li>"
                for status, answer in operation["responses"].items()
            ]
            rows.append(
                f"<section><h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
                f"<p>{escape(operation['summary'])} {escape(operation.get('description', ''))}</p>"
                f"<ul>{''.join(inputs)}</ul><ul>{''.join(answers)}</ul></section>"
            )
    for name, schema in document["components"]["schemas"].items():
        fields = "".join(
            f"<li><code>{escape(field)}</code>{' *' if field in schema.get('required', ()) else ''} "
            f"{_describe(detail)}</li>"
            for field, detail in schema.get("properties", {}).items()
        )
        rows.append(
            f'<section><h2 id="{escape(name)}">{escape(name)}</h2>'
            f"<p>{escape(schema.get('description', ''))}</p><ul>{fields}</ul></section>"
        )
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>movecar API</title></head>'
        f"<body><h1>{escape(info['title'])} API</h1><p>{escape(info['description'])} "
        '<a href="/api/v1/openapi.json">OpenAPI document</a></p>' + "".join(rows) + "</body></html>"
    )


def _reference(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    return escape(str(schema.get("type", "")))


def _describe(detail: dict[str, Any]) -> str:
    if "$ref" in detail:
        return _reference(detail)
    if "anyOf" in detail:
        return " or ".join(_describe(option) for option in detail["anyOf"])
    if detail.get("type") == "array":
        return f"list of {_describe(detail.get('items', {}))}"
    if "enum" in detail:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in detail["enum"])
    return escape(str(detail.get("type", detail.get("const", "")))) + (
        f" — {escape(detail['description'])}" if "description" in detail else ""
    )
