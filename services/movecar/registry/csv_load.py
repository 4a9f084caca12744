"""Loading the local registry from a CSV file: streaming, sealed, all or nothing, nothing dropped silently.

A million rows pass through in batches of `BATCH`, each read and sealed in a thread, then stored: neither
memory nor the event loop feels the size of the file. Reading a batch ahead was tried and is slower by a
third, as both sides want the interpreter's lock.
"""

import asyncio
import contextlib
import csv
import itertools
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TextIO

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.common.clock import Clock
from services.common.crypto import Keys
from services.common.database import Database
from services.movecar.registry import generations
from services.movecar.registry.csv_rows import HEADER, Issue, Row, RowFault, is_header, judge
from services.movecar.registry.csv_source import CsvSource, Line, LoadRefused
from services.movecar.registry.generations import Duplicate, SealedRow
from services.movecar.registry.sealing import plate_index, seal_vehicle

log = structlog.get_logger(__name__)

BATCH = 2_000
"""Rows a transaction: small enough that cases on SQLite wait for one only some tens of milliseconds."""
SHOWN = 20
"""Issues kept in the report; all of them are in the issues file."""


@dataclass(slots=True)
class LoadReport:
    """What became of every row of the file: `loaded + rejected` is their number."""

    encoding: str = ""
    loaded: int = 0
    rejected: int = 0
    dropped_phones: int = 0
    faults: dict[RowFault, int] = field(default_factory=dict)
    """Lines by what was wrong with them."""
    issues: list[Issue] = field(default_factory=list)
    """The first SHOWN."""
    issues_file: Path | None = None
    """Every issue as CSV, when there are any and a directory was given."""
    seconds: float = 0.0
    unchanged: bool = False
    """The file is the one already active, and nothing was done."""


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a load is."""

    bytes_read: int
    bytes_total: int
    report: LoadReport
    """What became of the rows so far; the same object every time."""


async def load_csv(
    path: Path,
    db: Database,
    keys: Keys,
    clock: Clock,
    *,
    own: Container[str] = (),
    issues_dir: Path | None = None,
    only_if_changed: bool = False,
    on_progress: Callable[[LoadProgress], None] | None = None,
) -> LoadReport:
    """Replace the local registry by a file's vehicles and say what became of every row.

    `own` are the service's own numbers as dialled, which no owner may have. Lookups see the old vehicles
    until the last row is stored, then all the new ones; the old are deleted afterwards. Raises LoadRefused
    when the file cannot be loaded as a whole (unreadable, wrong header, no usable row, changed meanwhile),
    LoadLost when the load was given up from outside, and what the database raises; the old vehicles then
    stay active.
    """
    started = clock.monotonic()
    with CsvSource.open(path) as source:
        digest = await asyncio.to_thread(source.survey)
        fingerprint = keys.index("registry_source", digest)
        if only_if_changed and await generations.active_source(db) == fingerprint:
            return LoadReport(encoding=source.encoding, unchanged=True)
        lines = source.lines()
        header = await asyncio.to_thread(next, lines, None)
        if header is None or not is_header(header):
            raise LoadRefused(f"第一行应为 {','.join(HEADER)}")
        await generations.sweep(db, clock)
        generation = await generations.begin(db, fingerprint, clock.now())
        report = LoadReport(encoding=source.encoding)
        try:
            with _IssueLog(report, issues_dir, generation) as issues:
                while (batch := await asyncio.to_thread(_next_batch, lines, keys, own)) is not None:
                    duplicates = await generations.store(db, generation, batch.rows, clock.now())
                    issues.add([*batch.issues, *map(_duplicate, duplicates)])
                    report.loaded += len(batch.rows) - len(duplicates)
                    report.dropped_phones += batch.dropped_phones
                    if on_progress is not None:
                        on_progress(LoadProgress(source.position, source.size, report))
            await _activate(db, generation, report, clock)
        except BaseException:
            # Also when cancelled. Should even this fail, the generation is swept once it has been silent.
            with contextlib.suppress(Exception):
                await generations.give_up(db, generation, clock.now())
            raise
    try:
        await generations.sweep(db, clock)
    except SQLAlchemyError as error:
        # The new vehicles are active; the old ones only take up room until the next sweep.
        log.warning("registry_sweep_failed", error=type(error).__name__)
    report.seconds = clock.monotonic() - started
    return report


async def _activate(db: Database, generation: int, report: LoadReport, clock: Clock) -> None:
    if not report.loaded:
        raise LoadRefused("没有一行可以载入")
    await generations.activate(db, generation, report.loaded, report.rejected, clock.now())


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: list[SealedRow]
    issues: list[Issue]
    dropped_phones: int


def _next_batch(lines: Iterator[Line], keys: Keys, own: Container[str]) -> _Batch | None:
    rows, issues, dropped, read = [], [], 0, 0
    for line in itertools.islice(lines, BATCH):
        read += 1
        judged = judge(line, own)
        if isinstance(judged, Issue):
            issues.append(judged)
            continue
        rows.append(_sealed(judged, keys))
        dropped += judged.vehicle.dropped_phones
        if judged.issue is not None:
            issues.append(judged.issue)
    return _Batch(rows, issues, dropped) if read else None


def _sealed(row: Row, keys: Keys) -> SealedRow:
    index = plate_index(keys, row.vehicle.plate)
    return SealedRow(index, row.vehicle.color, row.line, seal_vehicle(keys, index, row.vehicle))


def _duplicate(found: Duplicate) -> Issue:
    message = f"与第 {found.first_line} 行的车牌和颜色相同"
    return Issue(found.line, RowFault.DUPLICATE, message, rejected=True)


class _IssueLog:
    """Counts issues into the report, keeps the first few there, and writes all of them to a file."""

    def __init__(self, report: LoadReport, directory: Path | None, generation: int) -> None:
        self._report = report
        self._path = directory / f"registry-{generation}-issues.csv" if directory is not None else None
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, issues: Iterable[Issue]) -> None:
        report = self._report
        for issue in sorted(issues, key=lambda issue: issue.line):
            report.rejected += issue.rejected
            report.faults[issue.fault] = report.faults.get(issue.fault, 0) + 1
            if len(report.issues) < SHOWN:
                report.issues.append(issue)
            if self._path is not None:
                self._write(self._path, issue)

    def _write(self, path: Path, issue: Issue) -> None:
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # With a byte order mark: the people who read it use a spreadsheet.
            self._file = path.open("w", encoding="utf-8-sig", newline="")
            self._report.issues_file = path
            csv.writer(self._file).writerow(["line", "fault", "rejected", "message"])
        rejected = "yes" if issue.rejected else "no"
        csv.writer(self._file).writerow([issue.line, issue.fault, rejected, issue.message])
