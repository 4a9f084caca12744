from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.ids import new_id
from services.common.service import Kernel
from services.movecar.plates import parse
from services.movecar.registry import Found, Unavailable
from services.movecar.registry.choice import LocalSource, PlatformSource, choose_registry
from tests.support.running import settings_for
from tests.support.tables import create_tables

HEADER = "plate,color,owner,phones\n"


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    kernel = Kernel.build(settings_for(tmp_path, registry_csv=tmp_path / "vehicles.csv"))
    await create_tables(kernel.database)
    yield kernel
    await kernel.database.close()


async def source_of(kernel: Kernel) -> LocalSource:
    source = choose_registry(kernel)
    assert isinstance(source, LocalSource)
    await source.start()
    return source


async def test_the_first_load_is_waited_for(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "vehicles.csv").write_text(HEADER + "苏A12345,blue,王五,13912345678\n", "utf-8")
    source = await source_of(kernel)
    assert await source.check() is None
    assert isinstance(await source.registry.lookup(parse("苏A12345"), None, new_id()), Found)


async def test_without_a_usable_file_the_service_starts_and_says_it_is_not_ready(kernel: Kernel) -> None:
    source = await source_of(kernel)  # the file is not there
    problem = await source.check()
    assert problem is not None
    assert "load-registry" in problem
    assert isinstance(await source.registry.lookup(parse("苏A12345"), None, new_id()), Unavailable)


async def test_a_spoiled_file_leaves_the_vehicles_of_the_last_good_one(
    kernel: Kernel, tmp_path: Path
) -> None:
    file = tmp_path / "vehicles.csv"
    file.write_text(HEADER + "苏A12345,blue,王五,13912345678\n", "utf-8")
    await source_of(kernel)
    file.write_text("not,what,we,expect\n", "utf-8")
    source = await source_of(kernel)
    assert await source.check() is None
    assert isinstance(await source.registry.lookup(parse("苏A12345"), None, new_id()), Found)


async def test_a_url_in_the_settings_means_the_provincial_platform(tmp_path: Path) -> None:
    kernel = Kernel.build(settings_for(tmp_path, registry_url="https://platform.example/vehicles"))
    assert isinstance(choose_registry(kernel), PlatformSource)
    await kernel.database.close()
