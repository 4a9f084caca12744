"""Rows of the registry file: what is kept, what is refused and why."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.movecar.plates import Color
from services.movecar.registry.csv_rows import Issue, Row, RowFault, is_header, judge
from services.movecar.registry.csv_source import Line, LineFault

# The machine may be busy with other tests: how long an example takes says nothing here.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

OWN = frozenset({"051981997327"})


def judged(*cells: str) -> Row | Issue:
    return judge(Line(7, list(cells)), OWN)


def kept(*cells: str) -> Row:
    row = judged(*cells)
    assert isinstance(row, Row)
    return row


def test_a_good_row_becomes_a_vehicle() -> None:
    row = kept("苏d·10001", "蓝", "王建国", "139 0519 0001; 0519-81997328")
    vehicle = row.vehicle
    assert (row.line, row.issue) == (7, None)
    assert (vehicle.plate.text, vehicle.color, vehicle.owner) == ("苏D10001", Color.BLUE, "王建国")
    assert (vehicle.phones, vehicle.dropped_phones) == (("13905190001", "051981997328"), 0)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        # one column too few, one too many
        (["苏D10001", "blue", "王建国"], RowFault.COLUMNS),
        (["苏D10001", "blue", "王建国", "13905190001", ""], RowFault.COLUMNS),
        # no plate; O for 0 is an error of the file, not something to guess
        (["", "blue", "王建国", "13905190001"], RowFault.PLATE),
        (["苏D1O001", "blue", "王建国", "13905190001"], RowFault.PLATE),
        # no colour where there are several; no colour at all; not of this kind of plate
        (["苏D10001", "", "王建国", "13905190001"], RowFault.COLOR),
        (["苏D10001", "red", "王建国", "13905190001"], RowFault.COLOR),
        (["苏D10001", "green", "王建国", "13905190001"], RowFault.COLOR),
        (["苏DD12345", "blue", "王建国", "13905190001"], RowFault.COLOR),
        # no owner; a control character in the name
        (["苏D10001", "blue", "", "13905190001"], RowFault.OWNER),
        (["苏D10001", "blue", "王\x00", "13905190001"], RowFault.OWNER),
    ],
)
def test_a_bad_row_is_rejected_by_reason(cells: list[str], fault: RowFault) -> None:
    issue = judged(*cells)
    assert isinstance(issue, Issue)
    assert (issue.line, issue.fault, issue.rejected) == (7, fault, True)
    assert issue.message


@pytest.mark.parametrize("fault", list(LineFault))
def test_a_line_that_was_not_cut_is_rejected_for_that(fault: LineFault) -> None:
    issue = judge(Line(7, [], fault), OWN)
    assert isinstance(issue, Issue)
    assert issue.fault == fault.value
    assert issue.message


@pytest.mark.parametrize(
    ("phones", "numbers", "dropped"),
    [
        # a bad number beside a good one
        ("110;13905190001", ["13905190001"], 1),
        # our own line; abroad; an extension
        ("0519-81997327;13905190001;+1 212 555 0100;0519-81997328转1", ["13905190001"], 3),
        # none that can be called
        ("12345", [], 1),
        # none at all
        ("", [], 0),
        # more than any owner has
        (
            ";".join(f"1390519{number:04}" for number in range(12)),
            [f"1390519{number:04}" for number in range(10)],
            2,
        ),
    ],
)
def test_a_vehicle_keeps_the_numbers_that_can_be_called_and_says_so(
    phones: str, numbers: list[str], dropped: int
) -> None:
    row = kept("苏D10001", "blue", "王建国", phones)
    assert (list(row.vehicle.phones), row.vehicle.dropped_phones) == (numbers, dropped)
    assert row.issue is not None
    assert (row.issue.fault, row.issue.rejected, row.issue.line) == (RowFault.PHONES, False, 7)


@pytest.mark.parametrize(
    ("phones", "numbers"),
    [
        # full-width separator, empty parts, tabs that spreadsheets put before digits
        ("13905190001；13905190002", ["13905190001", "13905190002"]),
        (";13905190001;;", ["13905190001"]),
        ("\t13905190001;\t13905190002 ", ["13905190001", "13905190002"]),
        # the same number twice, spelt differently
        ("13905190001;+86 139 0519 0001", ["13905190001"]),
    ],
)
def test_separators_and_repeats_are_no_issue(phones: str, numbers: list[str]) -> None:
    row = kept("苏D10001", "blue", "王建国", phones)
    assert (list(row.vehicle.phones), row.issue) == (numbers, None)


def test_a_missing_colour_is_filled_in_where_there_is_only_one() -> None:
    assert kept("苏DD12345", "", "王建国", "13905190001").vehicle.color is Color.GREEN


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        # as agreed; with other case and spaces
        (["plate", "color", "owner", "phones"], True),
        ([" Plate", "COLOR", "owner ", "phones"], True),
        # another order; one missing; data
        (["color", "plate", "owner", "phones"], False),
        (["plate", "color", "owner"], False),
        (["苏D10001", "blue", "王建国", "13905190001"], False),
    ],
)
def test_the_header_must_name_the_columns_in_order(cells: list[str], expected: bool) -> None:
    assert is_header(Line(1, cells)) is expected


@UNHURRIED
@given(st.lists(st.text(max_size=30), max_size=6))
def test_an_issue_never_repeats_a_cell(cells: list[str]) -> None:
    result = judge(Line(7, cells), OWN)
    issue = result.issue if isinstance(result, Row) else result
    if issue is not None:
        assert all(cell not in issue.message for cell in cells if len(cell.strip()) > 3)
