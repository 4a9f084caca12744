import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from services.common.service import Process
from services.movecar.app import build
from services.movecar.console import STATIC
from tests.support.running import serving, settings_for

FILES = sorted(STATIC.iterdir())
PAGE = (STATIC / "index.html").read_text()


@pytest.fixture
async def movecar(tmp_path: Path) -> AsyncIterator[Process]:
    async with serving(settings_for(tmp_path), [build]) as process:
        yield process


@pytest.fixture
async def http(movecar: Process) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{movecar.address}") as session:
        yield session


async def test_every_file_is_served_with_its_type_and_a_strict_policy(http: aiohttp.ClientSession) -> None:
    types = {".html": "text/html", ".css": "text/css", ".js": "javascript", ".svg": "image/svg+xml"}
    for file in FILES:
        async with http.get("/" if file.name == "index.html" else f"/console/{file.name}") as response:
            assert response.status == 200
            assert types[file.suffix] in response.content_type
            assert "require-trusted-types-for 'script'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert await response.read() == file.read_bytes()


async def test_an_unchanged_file_is_not_sent_again(http: aiohttp.ClientSession) -> None:
    async with http.get("/console/main.js") as first:
        etag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "no-cache"
    async with http.get("/console/main.js", headers={"If-None-Match": etag}) as second:
        assert second.status == 304


@pytest.mark.parametrize(
    "path",
    [
        "/console/none.js",
        "/console/../__init__.py",  # out of the folder
        "/console/..%2f__init__.py",
        "/console/%2e%2e%2f__init__.py",
        "/console/.hidden",
        "/console/",
        "/console/main.js/more",
    ],
)
async def test_nothing_but_the_files_is_served(movecar: Process, path: str) -> None:
    import yarl

    async with aiohttp.ClientSession() as session:
        url = yarl.URL(f"http://{movecar.address}{path}", encoded=True)
        async with session.get(url) as response:
            assert response.status == 404
            assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(("demo", "said"), [(True, True), (False, False)])
async def test_the_page_can_know_whether_it_is_a_demo(tmp_path: Path, demo: bool, said: bool) -> None:
    async with (
        serving(settings_for(tmp_path, demo=demo), [build]) as process,
        aiohttp.ClientSession() as session,
        session.get(f"http://{process.address}/console/config.json") as response,
    ):
        assert (await response.json())["demo"] is said


def test_every_module_is_asked_for_with_the_page_and_not_one_after_another() -> None:
    listed = set(re.findall(r'href="/console/([a-z_]+\.js)"', PAGE)) | {"main.js"}
    assert listed == {file.name for file in FILES if file.suffix == ".js"}


def test_no_file_names_another_host_or_reads_markup() -> None:
    for file in FILES:
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://(?! addresses)", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), (
            file.name
        )


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    assert re.findall(r"<script(?![^>]* src=)", PAGE) == []
    assert "<style" not in PAGE
    assert not re.search(r"\s(style|on[a-z]+)=", PAGE)
