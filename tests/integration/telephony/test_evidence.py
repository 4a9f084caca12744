"""Proof both ways on a real Asterisk: every call agrees, and what is done behind our back is found."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from deploy.stack.asterisk import Asterisk
from services.common.clock import SystemClock
from services.common.database import Database
from services.common.service import Process
from services.outbound.evidence.collector import Collector
from services.outbound.evidence.line import CallRecord, read_line, write_line
from services.outbound.evidence.models import BillableCall
from services.outbound.evidence.reconcile import Recording
from services.outbound.evidence.reconciler import Reconciler
from services.outbound.models import Attempt, Incident
from tests.unit.outbound.rig import Told, requested, settings_for
from tests.unit.outbound.test_app import process_on, tell

pytestmark = pytest.mark.timeout(180)
MIXED = ["13805190000", "13805190001", "13805190005", "13805190006", "13805190007", "13900000404"]
BY_HAND = "13805190006"


class Evidence:
    """The comparison over a switch's calls of this test alone."""

    def __init__(self, database: Database, switch: Asterisk, directory: Path) -> None:
        self._database = database
        self._switch = switch
        self._seen = self._lines()
        self._file = directory / "movecar.csv"
        clock = SystemClock()
        self._collector = Collector(database, clock, "main", self._file)
        self._reconciler = Reconciler(database, clock, ["main"], self._recordings, after=0, recorded_after=0)

    def _lines(self) -> set[bytes]:
        path = self._switch.call_records
        return set(path.read_bytes().splitlines()) if path.exists() else set()

    async def records(self, count: int) -> list[CallRecord]:
        """Wait until the switch has written so many records more."""
        async with asyncio.timeout(60):
            while len(new := self._lines() - self._seen) < count:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.1)
        return [read_line(line) for line in new]

    async def compare(self, records: list[CallRecord]) -> set[tuple[str, str]]:
        """Take these records for the switch's file; return kind and subject of the incidents."""
        with self._file.open("ab") as file:
            file.writelines(write_line(record) for record in records)
        while await self._collector.collect():
            pass
        while await self._reconciler.check():
            pass
        async with self._database.reading() as session:
            found = await session.scalars(select(Incident).where(Incident.closed_at.is_(None)))
            return {(incident.kind, incident.subject) for incident in found}

    async def _recordings(self, _: AsyncSession, ids: Collection[str]) -> Mapping[str, Recording]:
        files = {each: self._switch.recording(each) for each in ids}
        return {
            each: Recording("kept", hashlib.sha256(path.read_bytes()).hexdigest())
            for each, path in files.items()
            if path.exists()
        }


async def call_owners(process: Process, numbers: list[str]) -> dict[str, Attempt]:
    """Have owners called for cases; return the attempt of each once it has ended."""
    kernel = process.kernel
    told = Told(kernel.database)
    wanted = {number: requested(kernel.keys, [number]) for number in numbers}
    await tell(kernel, *wanted.values())
    for event in wanted.values():
        await told.conclusion(event.contact_id)
        await told.reached(event.contact_id, "ended")
    async with kernel.database.reading() as session:
        attempts = (await session.scalars(select(Attempt))).all()
    contacts = {event.contact_id: number for number, event in wanted.items()}
    return {contacts[attempt.contact_id]: attempt for attempt in attempts}


async def test_every_call_agrees_and_what_is_done_behind_our_back_is_found(
    asterisk_server: Asterisk, tmp_path: Path, postgres_url: str
) -> None:
    switch = asterisk_server.settings
    settings = settings_for(
        tmp_path,
        database_url=postgres_url,
        pbx="asterisk",
        ami_host=switch.ami_host,
        ami_port=switch.ami_port,
        ami_user=switch.ami_user,
        ami_secret=switch.ami_secret,
        ring_time=5,
        redial={},
    )
    async with process_on(settings) as process:
        evidence = Evidence(process.kernel.database, asterisk_server, tmp_path)
        attempts = await call_owners(process, MIXED)
        records = {record.unique_id: record for record in await evidence.records(len(MIXED))}
        assert records.keys() == {attempt.id for attempt in attempts.values()}

        with asterisk_server.connect() as probe:
            probe.send(
                ("Action", "Originate"),
                ("Channel", f"PJSIP/{BY_HAND}@trunk-0519110"),
                ("Context", "movecar-notice"),
                ("Exten", "s"),
                ("Priority", "1"),
                ("Async", "true"),
            )
            (stranger,) = [
                record for record in await evidence.records(len(MIXED) + 1) if record.unique_id not in records
            ]
        changed = attempts["13805190001"].id
        deleted = attempts["13805190005"].id
        asterisk_server.recording(deleted).unlink()
        record = records[changed]
        forged = replace(record, billed=record.billed + 60)
        found = await evidence.compare([*(records | {changed: forged}).values(), stranger])
        assert found == {
            ("call_without_attempt", stranger.unique_id),
            ("duration_differs", changed),
            ("answered_without_recording", deleted),
        }
        async with process.kernel.database.reading() as session:
            bills = {bill.attempt_id: bill for bill in await session.scalars(select(BillableCall))}
        agreeing = {attempt.id for attempt in attempts.values()} - {changed, deleted}
        assert bills.keys() == agreeing
        agreed = bills[attempts["13805190000"].id]
        assert (agreed.connected, agreed.billed_seconds) == (True, records[agreed.attempt_id].billed)
        assert agreed.recording_sha256
