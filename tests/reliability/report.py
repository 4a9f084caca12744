"""The figures as text: for the terminal, for `docs/reliability.md`, and as JSON."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.report import Machine
from tests.reliability.outages import OutageRow
from tests.reliability.soak import Soak
from tests.reliability.verdict import Verdict
from tests.reliability.walk import Row

PARTS = ("walk", "outages", "soak")
"""Of the command; each has a place of its own in the document, so that one can be run anew alone."""


@dataclass
class Figures:
    """Everything that one run of the command saw. `took`: seconds by part."""

    command: str
    date: str
    seed: int
    machine: Machine
    walk: list[Row] = field(default_factory=list)
    not_reached: dict[str, int] = field(default_factory=dict)
    outages: list[OutageRow] = field(default_factory=list)
    soak: Soak | None = None
    took: dict[str, float] = field(default_factory=dict)

    @property
    def broken(self) -> list[str]:
        """Every promise that was not kept, in words."""
        judged = [(row.name, row.verdict) for row in self.walk]
        judged += [(row.name, row.verdict) for row in self.outages]
        broken = [f"{name}: {what}" for name, verdict in judged for what in verdict.broken]
        return broken + (self.soak.broken if self.soak else [])


def sections(figures: Figures) -> dict[str, str]:
    """The report, by part; only those that were run."""
    found = {
        "walk": _walk(figures) if figures.walk else [],
        "outages": _outages(figures.outages) if figures.outages else [],
        "soak": figures.soak.markdown() if figures.soak else [],
    }
    return {part: "\n".join([*lines, *_origin(figures, part)]) for part, lines in found.items() if lines}


def _origin(figures: Figures, part: str) -> list[str]:
    machine = figures.machine
    return [
        f"`{figures.command}` on {figures.date}, seed {figures.seed}: {figures.took[part] / 60:.1f} min. "
        f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.system}; "
        f"load before {machine.load_before:.1f}; "
        + ", ".join(f"{name} {value}" for name, value in machine.versions.items())
        + ".",
        "",
    ]


def _walk(figures: Figures) -> list[str]:
    lines = [
        "### Killed at every boundary",
        "",
        "| the owner played | fault points | kills | came about | doubled | lost | wrong "
        "| ended as played | unknown | of them never rung | s to the end: median | most |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in [*figures.walk, _total(figures.walk)]:
        v = row.verdict
        lines.append(
            f"| {row.name} | {row.boundaries} | {row.runs} | {row.died} | {_counts(v)} "
            f"| {v.known} | {v.unknown} | {v.never_rang} "
            f"| {statistics.median(row.seconds):.1f} | {max(row.seconds):.1f} |"
        )
    if figures.not_reached:
        missed = ", ".join(f"{count} × {label}" for label, count in sorted(figures.not_reached.items()))
        lines += ["", f"Did not come about, because commits were grouped otherwise that time: {missed}."]
    return [*lines, ""]


def _total(rows: Iterable[Row]) -> Row:
    total = Row("**all**")
    for row in rows:
        total.boundaries += row.boundaries
        total.runs += row.runs
        total.died += row.died
        total.verdict.add(row.verdict)
        total.seconds += row.seconds
    return total


def _outages(rows: Sequence[OutageRow]) -> list[str]:
    lines = [
        "### A part away",
        "",
        "| what happened | calls | when it struck | doubled | lost | wrong | ended as played | unknown "
        "| of them never rung | s to the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        phases = ", ".join(f"{count} {state}" for state, count in sorted(row.phases.items()))
        v = row.verdict
        lines.append(
            f"| {row.name} | {row.calls} | {phases} | {_counts(v)} "
            f"| {v.known} | {v.unknown} | {v.never_rang} | {row.seconds:.1f} |"
        )
    return [*lines, ""]


def _counts(verdict: Verdict) -> str:
    return f"{len(verdict.doubled)} | {len(verdict.lost)} | {len(verdict.wrong)}"


def as_json(figures: Figures) -> str:
    """Everything, for programs."""

    return json.dumps(asdict(figures) | {"broken": figures.broken}, indent=1)


def write_into(document: Path, texts: Mapping[str, str]) -> None:
    """Put each part between its markers in the document. Raises ValueError when it has none."""
    whole = document.read_text("utf-8")
    for part, text in texts.items():
        begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
        before, found, rest = whole.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found or not found_end:
            raise ValueError(f"{document} has no markers for {part}")
        whole = f"{before}{begin}\n\n{text}\n{end}{after}"
    document.write_text(whole, "utf-8")
