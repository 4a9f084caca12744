"""The board: who answers for what, and what it shows while a service is away."""

from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from services.common.clock import ManualClock
from services.common.evidence import Evidence, EvidencePage, Source, Status, count
from services.escalation.app import build as build_escalation
from services.movecar.app import build as build_movecar
from services.movecar.app import build_with_neighbours
from services.movecar.contract.board import Ask, Board
from services.movecar.contract.clauses import CLAUSES
from services.outbound.app import build as build_outbound
from tests.support.running import Client, serving, settings_for

NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
REQUEST = make_mocked_request("GET", "/api/v1/contract")


def proof(status: Status = "ok") -> Evidence:
    return Evidence(status=status, findings=[], figures=[count("n", "次数", 3)], taken_at=NOW)


def answering(page: bytes) -> Ask:
    async def ask(_: str, __: web.Request) -> bytes:
        return page

    return ask


def failing(error: Exception) -> Ask:
    async def ask(_: str, __: web.Request) -> bytes:
        raise error

    return ask


async def own() -> Evidence:
    return proof()


async def statuses(here: dict[str, Source], elsewhere: dict[str, Ask]) -> dict[str, tuple[Status, str]]:
    board = Board(CLAUSES, here, elsewhere, ManualClock(NOW))
    found = await board.evidence(REQUEST)
    return {clause.id: (shown.status, "".join(shown.findings)) for clause, shown in found}


@pytest.mark.parametrize(
    "answer",
    [
        failing(aiohttp.ClientConnectionError("away")),
        failing(TimeoutError()),
        # Somebody else answers there.
        answering(b"<html>"),
        answering(b'{"clauses": {"C4": {"status": "fine"}}}'),
        # A version that knows less.
        answering(b'{"clauses": {}}'),
    ],
)
async def test_a_clause_whose_service_is_away_says_so_and_is_not_well(answer: Ask) -> None:
    known = EvidencePage(clauses={"B4": proof(), "B8": proof("warning")}).model_dump_json().encode()
    found = await statuses({}, {"escalation": answer, "outbound": answering(known)})
    assert found["B4"] == ("ok", "")
    assert found["B8"] == ("warning", "")
    for clause in ("C2", "C3", "C4"):
        assert found[clause] == ("no_evidence", "110通知服务无应答，证据暂时取不到")


async def test_what_this_process_owns_is_not_what_a_neighbour_says_of_it() -> None:
    stranger = EvidencePage(clauses={"C4": proof("breached"), "X1": proof()}).model_dump_json().encode()
    found = await statuses({"C4": own}, {"outbound": answering(stranger)})
    assert found["C4"] == ("ok", "")
    assert "X1" not in found


async def test_in_one_process_every_clause_on_the_board_has_its_source(tmp_path: Path) -> None:
    builders = [build_movecar, build_outbound, build_escalation]
    async with serving(settings_for(tmp_path), builders) as process, Client(process.address) as client:
        assert set(process.kernel.evidence) == {clause.id for clause in CLAUSES}
        status, board = await client.become(process, "auditor").get("/contract")
        assert status == 200
        # Nothing has happened yet: nothing is claimed.
        assert {item["id"]: item["status"] for item in board["items"]} == dict.fromkeys(
            (clause.id for clause in CLAUSES), "no_evidence"
        )
        assert all(item["figures"] and item["findings"] for item in board["items"])
        for neighbour in ("outbound", "escalation"):
            status, page = await client.get(f"/contract/{neighbour}")
            assert status == 200
            assert set(page["clauses"]) == {one.id for one in CLAUSES if one.service == neighbour}
        for role in ("operator", "desk", "admin"):
            status, problem = await client.become(process, role).get("/contract")
            assert (status, problem["code"]) == (403, "forbidden")


async def test_as_a_process_of_its_own_it_asks_its_neighbours_in_the_caller_s_name(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    async with serving(settings_for(tmp_path / "desk"), [build_escalation]) as desk:
        alone = settings_for(tmp_path, escalation_listen=desk.address, outbound_listen="127.0.0.1:9")
        async with (
            serving(alone, [build_with_neighbours]) as process,
            Client(process.address) as client,
        ):
            status, board = await client.become(process, "supervisor").get("/contract")
            assert status == 200
            found = {item["id"]: item for item in board["items"]}
            assert found["C4"]["figures"]
            assert not found["B4"]["figures"]
            assert found["B4"]["findings"] == ["外呼服务无应答，证据暂时取不到"]
            # A neighbour's own answer is to be had by the same address.
            status, page = await client.get("/contract/escalation")
            assert (status, set(page["clauses"])) == (200, {"C2", "C3", "C4"})
