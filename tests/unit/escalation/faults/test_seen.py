"""What is read from a neighbour's problems and warnings, by table; over HTTP and in one process alike."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from services.common.clock import SystemClock
from services.common.http.server import HttpServer, make_application
from services.common.service import Check, Kernel
from services.escalation.faults.detection.lookout import Lookout
from services.escalation.faults.detection.probes import GOOD, ProcessProbe, bad, parts_seen, unseen
from services.escalation.faults.parts import PARTS
from services.movecar.app import build as build_movecar
from services.outbound.app import build as build_outbound
from tests.unit.escalation.harness import settings_for

PARTS_OF_OUTBOUND = ("pbx", "trunk", "trunks_out")
CALLS = ("calls", "calls_stopped")


@pytest.mark.parametrize(
    ("said", "pbx", "trunk", "trunks_out"),
    [
        # nothing is wrong
        ({}, "good", "good", "good"),
        # one of several trunks
        ({"trunks_out": "main/x: sip_503"}, "good", "good", "bad"),
        # every trunk: which of them is no longer of interest
        ({"trunk": "no trunk is in service"}, "good", "bad", "unknown"),
        ({"trunk": "no trunk is in service", "trunks_out": "main/x: sip_503"}, "good", "bad", "unknown"),
        # the switch is away: its trunks are neither well nor broken
        ({"pbx": "link to the PBX is down"}, "bad", "unknown", "unknown"),
        # what nobody watches here
        ({"prompts": "missing"}, "good", "good", "good"),
    ],
)
def test_a_part_is_what_is_said_of_it(said: Mapping[str, str], pbx: str, trunk: str, trunks_out: str) -> None:
    found = parts_seen(said, PARTS_OF_OUTBOUND)
    assert [found[name].health for name in PARTS_OF_OUTBOUND] == [pbx, trunk, trunks_out]


@pytest.mark.parametrize(
    ("said", "calls", "stopped"),
    [
        ({}, "good", "good"),
        # some of them, and all of them: the second says it all
        ({"calls": "3/10"}, "bad", "good"),
        ({"calls": "10/10", "calls_stopped": "10/10"}, "unknown", "bad"),
    ],
)
def test_that_every_call_fails_is_told_once(said: Mapping[str, str], calls: str, stopped: str) -> None:
    found = parts_seen(said, CALLS)
    assert [found[name].health for name in CALLS] == [calls, stopped]


def test_of_what_is_counted_in_the_database_nothing_is_known_without_it() -> None:
    names = ("operators", "registry", "calls")
    found = unseen({"database": bad("down"), "calls": GOOD} | dict.fromkeys(names[:2], bad("DBAPIError")))
    assert [found[name].health for name in names] == ["unknown"] * 3


def test_only_the_last_trunk_is_downtime_for_the_desk() -> None:
    assert (PARTS["trunk"].downtime, PARTS["trunks_out"].downtime) == (True, False)


@pytest.mark.parametrize(
    ("report", "trunk", "trunks_out"),
    [
        ({"problems": {"trunk": "no trunk is in service"}, "warnings": {}}, "bad", "unknown"),
        ({"problems": {}, "warnings": {"trunks_out": "main/x: sip_503"}}, "good", "bad"),
        # from a version that knows no warnings
        ({"problems": {}}, "good", "good"),
        # what is no report says nothing
        ({"problems": []}, None, None),
        ([], None, None),
    ],
)
async def test_a_neighbour_says_it_over_http(
    report: object, trunk: str | None, trunks_out: str | None
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(report)

    server = HttpServer(
        make_application([web.get("/livez", answer), web.get("/readyz", answer)]), "127.0.0.1:0"
    )
    address = await server.start()
    try:
        found = await ProcessProbe("outbound", address, PARTS_OF_OUTBOUND, SystemClock())()
    finally:
        await server.close()
    read = [found[name].health if name in found else None for name in ("outbound", "trunk", "trunks_out")]
    assert read == ["good", trunk, trunks_out]


async def test_in_one_process_the_checks_themselves_are_asked(tmp_path: Path) -> None:
    kernel = Kernel.build(settings_for(f"sqlite+aiosqlite:///{tmp_path}/one.sqlite3"))
    wrong: dict[str, str] = {}

    def check(name: str) -> Check:
        async def ask() -> str | None:
            await asyncio.sleep(0)
            return wrong.get(name)

        return ask

    kernel.checks.update({name: check(name) for name in ("pbx", "trunk", "registry")})
    kernel.warnings["trunks_out"] = check("trunks_out")
    lookout = Lookout(kernel)
    lookout.start()
    found = []
    try:
        for wrong["trunk"], wrong["trunks_out"] in (("", ""), ("", "main/x: sip_503"), ("none left", "")):
            look = await lookout.look()
            found.append((look["trunk"].health, look["trunks_out"].health))
    finally:
        await lookout.close()
        await kernel.database.close()
    assert found == [("good", "good"), ("good", "bad"), ("bad", "unknown")]


async def test_every_warning_that_a_service_can_give_is_a_part_that_is_watched(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/one.sqlite3"
    kernel = Kernel.build(settings_for(url, demo=False, operators_after=300))
    given = {name for build in (build_movecar, build_outbound) for name in build(kernel).warnings}
    assert given == {"operators", "trunks_out", "calls", "calls_stopped"}
    assert given <= PARTS.keys()

    async def warned() -> str:
        await asyncio.sleep(0)
        return "说明"

    for name in given:
        kernel.checks.update({"pbx": _well, "registry": _well})
        kernel.warnings.clear()
        kernel.warnings[name] = warned
        lookout = Lookout(kernel)
        lookout.start()
        look = await lookout.look()
        await lookout.close()
        assert (look[name].health, look[name].detail) == ("bad", "说明")
    await kernel.bus.close()
    await kernel.database.close()


async def _well() -> None:
    await asyncio.sleep(0)
