"""Thousands of requests made from the OpenAPI document, good and bad: no 5xx, no undocumented answer."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.cases import open_until
from tests.support.program import Program, program
from tests.support.running import PASSWORD, Client

# Each role asks every operation; how long that takes is the machine's business.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    async with program(tmp_path_factory.mktemp("openapi")) as child:
        await child.ready()
        # With something in the feed a long poll from its beginning answers at once. Only once, and first: the
        # requests below may well note that this owner does not want to be called.
        async with Client(child.address) as operator:
            await open_until(await operator.log_in("op1"), "苏D10005", "escalated")
        yield child


async def attack(child: Program, *options: str) -> str:
    """Run schemathesis and return its report. Raises AssertionError when it found something."""
    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        "run",
        f"http://{child.address}/api/v1/openapi.json",
        "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--phases=examples,coverage,fuzzing",
        "--warnings=off",
        "--continue-on-failure",
        "--seed=114",
        "--request-timeout=70",
        *options,
        cwd=child.directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    text = report.decode()
    assert process.returncode == 0, text
    assert "No issues found" in text
    return text


ROLES = {"op1": "operator", "desk1": "desk", "sup1": "supervisor", "aud1": "auditor", "adm1": "admin"}
JSON = {"Content-Type": "application/json"}
# The streams never end, and logging out would end the session that is used here.
LEFT_OUT = re.compile("/events$|/stream$|/sessions")


async def operations(child: Program) -> list[tuple[str, str, str, set[str]]]:
    """Return method, path, id and roles of every operation that is asked here."""
    async with Client(child.address) as client:
        _, document = await client.get("/openapi.json")
    return [
        (method, path, operation["operationId"], set(re.findall(r"\w+", operation["description"])))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not LEFT_OUT.search(path)
    ]


@pytest.mark.parametrize("username", ROLES)
async def test_no_request_of_a_role_makes_a_5xx_or_an_undocumented_answer(
    running: Program, username: str
) -> None:
    async with Client(running.address) as client:
        await client.log_in(username)
        token = client.http.headers["Authorization"]
    asked = await operations(running)
    own = [f"--include-operation-id={name}" for *_, name, roles in asked if ROLES[username] in roles]
    assert len(own) > 5
    await attack(running, f"--header=Authorization: {token}", "--max-examples=6", *own)


@pytest.mark.parametrize("username", ROLES)
async def test_what_a_role_may_not_do_is_refused_before_anything_else_is_looked_at(
    running: Program, username: str
) -> None:
    """Which is why the test above asks only for what the role may do."""
    async with Client(running.address) as client:
        await client.log_in(username)
        for method, path, name, roles in await operations(running):
            if ROLES[username] in roles:
                continue
            url = f"http://{running.address}{re.sub('{.*?}', 'nothing', path)}?nothing=%00"
            bodies: list[bytes | None] = [None, b"{}", b"\xff{"]
            for body in bodies:
                async with client.http.request(method, url, data=body, headers=JSON) as answer:
                    problem = await answer.json(content_type=None)
                    assert (answer.status, problem["code"]) == (403, "forbidden"), name


async def test_no_visitor_makes_a_5xx(running: Program) -> None:
    # A password check costs a tenth of a second by design: fewer examples.
    await attack(running, "--include-path-regex=/sessions", "--max-examples=5")
    async with Client(running.address) as client:
        await client.log_in("op1", PASSWORD)
