"""The report: each part in its place, and as JSON."""

import json
from pathlib import Path

import pytest

from deploy.stack.service import ROOT
from tests.bench.report import Machine
from tests.reliability import report
from tests.reliability.outages import OutageRow
from tests.reliability.report import Figures
from tests.reliability.soak import Soak
from tests.reliability.verdict import Verdict
from tests.reliability.walk import Row

FIGURES = Figures(
    command="python -m tests.reliability",
    date="2026-04-01 08:00",
    seed=1,
    machine=Machine("a processor", 2, 8.0, "Linux", {"Asterisk": "22"}, 0.1),
    walk=[Row("agreed", 2, 4, 4, Verdict(known=3, unknown=1, never_rang=1), [0.5, 1.5])],
    outages=[OutageRow("Redis emptied", 44, {"ringing": 2}, Verdict(known=44), 3.0)],
    soak=Soak(20, 300, cases=2, ended={"agreed": {"agreed": 2}}, invites=3, hostile=1),
    took={"walk": 60.0, "outages": 60.0, "soak": 60.0},
)


def test_every_part_is_put_between_its_own_markers_and_again_in_the_same_place(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text((ROOT / "docs" / "reliability.md").read_text("utf-8"), "utf-8")
    for _ in range(2):
        report.write_into(document, report.sections(FIGURES))
    text = document.read_text("utf-8")
    assert text.count("| agreed | 2 | 4 | 4 | 0 | 0 | 0 | 3 | 1 | 1 | 1.0 | 1.5 |") == 1
    assert text.count("| Redis emptied | 44 | 2 ringing | 0 | 0 | 0 | 44 | 0 | 0 | 3.0 |") == 1
    assert text.count("**2 (100.00%) ended as the owner played**") == 1


def test_a_document_without_a_place_for_a_part_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("nothing here", "utf-8")
    with pytest.raises(ValueError, match="markers"):
        report.write_into(document, {"walk": "text"})


def test_programs_can_read_it_too() -> None:
    read = json.loads(report.as_json(FIGURES))
    assert read["walk"][0]["verdict"]["known"] == 3
    assert read["broken"] == []
