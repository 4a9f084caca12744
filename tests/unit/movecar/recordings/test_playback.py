"""Finding and playing recordings, by whom, and what is written down of it (B8)."""

import hashlib
import io
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from services.common.clock import SystemClock
from services.common.events import AttemptChanged, RecordingKept
from services.common.http.auth import Role
from services.common.ids import new_id
from services.common.service import Process
from services.common.vault import CHUNK, Vault
from services.movecar.audit import AuditLine
from tests.support.running import Client
from tests.unit.movecar.cases.test_case_api import new_case, report

SOUND = hashlib.shake_128(b"sound").digest(3 * CHUNK + 1000)


@dataclass
class Shelf:
    """A movecar with recordings in its store."""

    process: Process

    @property
    def root(self) -> Path:
        return self.process.kernel.settings.recordings

    async def keep(
        self, case_id: str, sound: bytes = SOUND, number: str = "13900000001", operator: str = "operator"
    ) -> RecordingKept:
        """Store a recording and report it, as the caller does."""
        kernel = self.process.kernel
        recording_id, now = new_id(), kernel.clock.now()
        path = f"2026/11/22/{recording_id}"
        Vault(kernel.keys.derive("recordings")).write(self.root / path, io.BytesIO(sound), recording_id)
        event = RecordingKept(
            occurred_at=now,
            case_id=case_id,
            recording_id=recording_id,
            attempt_id=new_id(),
            operator=operator,
            callee=kernel.keys.index("phone", number),
            started_at=now - timedelta(seconds=10),
            ended_at=now,
            seconds=10.0,
            size=len(sound),
            sha256=hashlib.sha256(sound).hexdigest(),
            format="wav/pcm_s16le/8000/1",
            path=path,
        )
        await report(self.process, event)
        return event

    async def audited(self) -> list[AuditLine]:
        async with self.process.kernel.database.reading() as session:
            return list(await session.scalars(select(AuditLine).order_by(AuditLine.id)))


@pytest.fixture
async def shelf(movecar: Process) -> Shelf:
    return Shelf(movecar)


@pytest.fixture
async def auditor(movecar: Process) -> AsyncIterator[Client]:
    async with Client(movecar.address) as client:
        yield client.become(movecar, "auditor")


@pytest.fixture
async def case(operator: Client) -> dict[str, Any]:
    return dict((await operator.post("/cases", new_case()))[1])


def ask(
    client: Client, recording_id: str, method: str = "GET", **headers: str
) -> aiohttp.client._RequestContextManager:
    url = f"{client.base}/api/v1/recordings/{recording_id}/audio"
    return client.http.request(
        method, url, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


async def test_the_whole_sound_is_given_back(shelf: Shelf, auditor: Client, case: dict[str, Any]) -> None:
    kept = await shelf.keep(case["id"])
    async with ask(auditor, kept.recording_id) as answer:
        assert (answer.status, await answer.read()) == (200, SOUND)
        assert answer.headers["Content-Type"] == "audio/wav"
        assert answer.headers["Content-Length"] == str(len(SOUND))
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["ETag"] == f'"{kept.sha256}"'
        assert answer.headers["Cache-Control"] == "no-store"


RANGES = [
    # Range, first byte and end of what is given
    ("bytes=0-43", 0, 44),
    ("bytes=44-", 44, len(SOUND)),
    ("bytes=-100", len(SOUND) - 100, len(SOUND)),
    (f"bytes={CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK + 1),  # over the border of two chunks
    (f"bytes={CHUNK}-{3 * CHUNK - 1}", CHUNK, 3 * CHUNK),
]


async def test_a_range_is_given_by_itself(shelf: Shelf, auditor: Client, case: dict[str, Any]) -> None:
    kept = await shelf.keep(case["id"])
    for header, first, end in RANGES:
        async with ask(auditor, kept.recording_id, Range=header, If_Range=f'"{kept.sha256}"') as answer:
            assert (answer.status, await answer.read()) == (206, SOUND[first:end]), header
            assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(SOUND)}"
            assert answer.headers["Content-Length"] == str(end - first)


async def test_a_range_outside_the_sound_is_refused(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    kept = await shelf.keep(case["id"])
    async with ask(auditor, kept.recording_id, Range="bytes=99999999-") as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (
            416,
            "range_not_satisfiable",
        )
        assert answer.headers["Content-Range"] == f"bytes */{len(SOUND)}"


async def test_head_tells_what_there_is_and_gives_nothing(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    kept = await shelf.keep(case["id"])
    async with ask(auditor, kept.recording_id, "HEAD", Range="bytes=0-9") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(SOUND))


async def test_every_access_is_written_down_before_anything_is_given(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    kept = await shelf.keep(case["id"])
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=99999999-"}):
        async with ask(auditor, kept.recording_id, **headers) as answer:
            await answer.read()
    lines = await shelf.audited()
    assert [line.action for line in lines] == ["recording.played"] * 3
    assert {(line.subject, line.username, line.role, line.remote) for line in lines} == {
        (kept.recording_id, "auditor", "auditor", "127.0.0.1")
    }
    assert [line.detail.get("range") for line in lines] == [None, "bytes=0-9", "bytes=99999999-"]


@pytest.mark.parametrize(
    ("role", "status"),
    [
        ("operator", 403),
        ("desk", 404),  # the desk hears calls of cases that are before it; this one is not
        ("admin", 403),
    ],
)
async def test_others_neither_find_nor_hear_recordings(
    shelf: Shelf, movecar: Process, case: dict[str, Any], role: Role, status: int
) -> None:
    kept = await shelf.keep(case["id"])
    async with Client(movecar.address) as client:
        client.become(movecar, role)
        assert (await client.get("/recordings"))[0] == 403
        assert (await client.get(f"/recordings/{kept.recording_id}/audio"))[0] == status
    assert await shelf.audited() == []


async def test_what_was_never_recorded_is_not_found(auditor: Client, shelf: Shelf) -> None:
    status, problem = await auditor.get(f"/recordings/{new_id()}/audio")
    assert (status, problem["code"]) == (404, "not_found")


async def test_a_recording_that_is_gone_or_changed_is_a_fault_and_no_sound(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    missing, changed, swapped, other = [await shelf.keep(case["id"]) for _ in range(4)]
    (shelf.root / missing.path).unlink()
    with (shelf.root / changed.path).open("r+b") as file:
        file.seek(100)
        file.write(b"\x00")
    shutil.copy(shelf.root / other.path, shelf.root / swapped.path)
    for kept, code in ((missing, "missing"), (changed, "damaged"), (swapped, "damaged")):
        status, problem = await auditor.get(f"/recordings/{kept.recording_id}/audio")
        assert (status, problem["code"]) == (500, f"recording_{code}")


async def test_damage_in_the_middle_cuts_the_answer_off(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    kept = await shelf.keep(case["id"])
    with (shelf.root / kept.path).open("r+b") as file:
        file.seek(2 * CHUNK)
        file.write(b"\x00" * 8)
    async with ask(auditor, kept.recording_id) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_call_shows_its_recording(shelf: Shelf, operator: Client, case: dict[str, Any]) -> None:
    kept = await shelf.keep(case["id"])
    now = shelf.process.kernel.clock.now()
    call = AttemptChanged(
        occurred_at=now,
        case_id=case["id"],
        contact_id=new_id(),
        attempt_id=kept.attempt_id,
        version=5,
        number=1,
        state="ended",
        outcome="agreed",
        script_version=1,
        queued_at=now,
        dialed_at=now,
        answered_at=now,
        ended_at=now,
    )
    without = call.model_copy(update={"attempt_id": new_id(), "number": 2, "event_id": new_id()})
    await report(shelf.process, call, without)
    _, shown = await operator.get(f"/cases/{case['id']}")
    recordings = {attempt["number"]: attempt["recording_id"] for attempt in shown["attempts"]}
    assert recordings == {1: kept.recording_id, 2: None}


async def test_recordings_are_found_by_what_is_known_of_them(
    shelf: Shelf, movecar: Process, auditor: Client, operator: Client
) -> None:
    cases = [(await operator.post("/cases", new_case(f"苏D1000{n}")))[1] for n in range(2)]
    first = await shelf.keep(cases[0]["id"], number="13900000001", operator="one")
    second = await shelf.keep(cases[1]["id"], number="051988880000", operator="two")
    now = SystemClock().now()
    both = [second.recording_id, first.recording_id]
    for query, found in (
        ({}, both),
        ({"case": cases[0]["id"]}, [first.recording_id]),
        ({"case": cases[1]["number"]}, [second.recording_id]),
        ({"number": "+86 139-0000-0001"}, [first.recording_id]),
        ({"number": "0519-88880000"}, [second.recording_id]),
        ({"number": "13900000002"}, []),
        ({"operator": "one"}, [first.recording_id]),
        ({"operator": "three"}, []),
        ({"from": (now - timedelta(minutes=5)).isoformat()}, both),
        ({"from": now.isoformat()}, []),
        ({"to": (now - timedelta(minutes=5)).isoformat()}, []),
        ({"case": cases[0]["id"], "number": "0519-88880000"}, []),
    ):
        status, page = await auditor.get("/recordings", params=query)
        assert (status, [item["id"] for item in page["items"]]) == (200, found), query
    item = (await auditor.get("/recordings", params={"case": cases[0]["id"]}))[1]["items"][0]
    assert item["case_number"] == cases[0]["number"]
    assert item["audio"] == f"/api/v1/recordings/{first.recording_id}/audio"
    assert "13900000001" not in str(item)
    assert not any("13900000001" in str(line.detail) for line in await shelf.audited())


WRONG: list[tuple[dict[str, str], str]] = [
    # filters, the field that is wrong
    ({"number": "110"}, "number"),
    ({"number": "abc"}, "number"),
    ({"case": "YC1"}, "case"),
    ({"operator": "a b"}, "operator"),
    ({"from": "2026-11-22T00:00:00"}, "from"),  # without a zone
    ({"limit": "201"}, "limit"),
    ({"cursor": "x"}, "cursor"),
    ({"unknown": "x"}, "unknown"),
]


async def test_a_wrong_filter_is_named(auditor: Client) -> None:
    for query, field in WRONG:
        status, problem = await auditor.get("/recordings", params=query)
        assert (status, [error["field"] for error in problem["errors"]]) == (422, [field])


async def test_pages_follow_one_another_without_gap_or_repeat(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    kept = [await shelf.keep(case["id"], b"x") for _ in range(5)]
    found: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        _, page = await auditor.get("/recordings", params=query)
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == [event.recording_id for event in reversed(kept)]


async def test_a_recording_that_is_reported_again_changes_nothing(
    shelf: Shelf, auditor: Client, case: dict[str, Any]
) -> None:
    kept = await shelf.keep(case["id"])
    await report(shelf.process, kept.model_copy(update={"sha256": "0" * 64, "event_id": new_id()}))
    _, page = await auditor.get("/recordings")
    assert [item["sha256"] for item in page["items"]] == [kept.sha256]
