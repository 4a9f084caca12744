"""The lines of a registry file: encodings, damage, limits. Chinese and broken bytes as exports have them."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.movecar.registry import csv_source
from services.movecar.registry.csv_source import MAX_LINE, CsvSource, Line, LineFault, LoadRefused

# The machine may be busy with other tests: how long an example takes says nothing here.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HEADER = "plate,color,owner,phones"
ROWS = ["苏D10001,blue,王建国,13905190001", "苏D10002,blue,李秀英,13905190002"]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read(path: Path) -> tuple[str, list[Line]]:
    with CsvSource.open(path) as source:
        source.survey()
        return source.encoding, list(source.lines())


def cells(lines: list[Line]) -> list[list[str]]:
    return [line.cells for line in lines]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        # as a Linux tool writes it
        ("\n".join([HEADER, *ROWS, ""]).encode(), "utf-8"),
        # as Excel's "CSV UTF-8" writes it: byte order mark, CR LF
        ("\r\n".join([HEADER, *ROWS, ""]).encode("utf-8-sig"), "utf-8"),
        # as Excel's plain CSV on a Chinese Windows writes it
        ("\r\n".join([HEADER, *ROWS, ""]).encode("gb18030"), "gb18030"),
        # no line end at the end
        ("\n".join([HEADER, *ROWS]).encode("gb18030"), "gb18030"),
    ],
)
def test_the_encodings_of_real_exports_are_recognised(tmp_path: Path, content: bytes, encoding: str) -> None:
    found, lines = read(written(tmp_path / "registry.csv", content))
    assert found == encoding
    assert cells(lines) == [line.split(",") for line in [HEADER, *ROWS]]
    assert [line.number for line in lines] == [1, 2, 3]


def test_a_four_byte_character_of_gb18030_survives(tmp_path: Path) -> None:
    row = "苏D10001,blue,王\U00020bb7,13905190001"
    _, lines = read(written(tmp_path / "registry.csv", f"{HEADER}\n{row}\n".encode("gb18030")))
    assert lines[1].cells[2] == "王\U00020bb7"


def test_a_few_damaged_lines_are_reported_and_do_not_change_the_encoding(tmp_path: Path) -> None:
    damaged = "苏D10003,blue,".encode() + b"\xcd\xf5\xff,13905190003\n"
    content = "\n".join([HEADER, *ROWS, ""]).encode() + damaged + "苏D10004,blue,陈静,13905190004\n".encode()
    encoding, lines = read(written(tmp_path / "registry.csv", content))
    assert encoding == "utf-8"
    assert [(line.number, line.fault) for line in lines if line.fault] == [(4, LineFault.ENCODING)]
    assert lines[4].cells[0] == "苏D10004"


def test_a_line_that_is_too_long_costs_itself_only(tmp_path: Path) -> None:
    content = "\n".join([HEADER, "苏" * 200_000, *ROWS, ""])
    _, lines = read(written(tmp_path / "registry.csv", content.encode()))
    assert [(line.number, line.fault) for line in lines[1:]] == [
        (2, LineFault.TOO_LONG),
        (3, None),
        (4, None),
    ]


@pytest.mark.parametrize(
    ("length", "end", "fault"),
    [
        # the longest that passes, with and without a line end; one more; more, at the end of the file
        (MAX_LINE, b"\n", None),
        (MAX_LINE, b"", None),
        (MAX_LINE + 1, b"\n", LineFault.TOO_LONG),
        (MAX_LINE + 1, b"", LineFault.TOO_LONG),
        (3 * MAX_LINE, b"", LineFault.TOO_LONG),
    ],
)
def test_the_longest_line_is_exactly_the_limit(
    tmp_path: Path, length: int, end: bytes, fault: LineFault | None
) -> None:
    _, lines = read(written(tmp_path / "registry.csv", b"x" * length + end))
    assert [line.fault for line in lines] == [fault]


def test_a_stray_quote_costs_one_line_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    content = "\n".join([HEADER, '"苏D10001,blue,王建国,13905190001', *ROWS, '"苏D1"x,b,c,d', ""])
    _, lines = read(written(tmp_path / "registry.csv", content.encode()))
    assert [line.fault for line in lines] == [None, LineFault.QUOTES, None, None, LineFault.QUOTES]


def test_quoted_cells_are_unquoted(tmp_path: Path) -> None:
    _, lines = read(written(tmp_path / "registry.csv", '"苏D10001","blue","甲,乙 ""丙""","1;2"\n'.encode()))
    assert cells(lines) == [["苏D10001", "blue", '甲,乙 "丙"', "1;2"]]


def test_empty_lines_are_passed_over_but_counted_in_the_numbering(tmp_path: Path) -> None:
    content = "\n".join([HEADER, "", ROWS[0], "  ", ",,,", ROWS[1], "", ""])
    _, lines = read(written(tmp_path / "registry.csv", content.encode()))
    assert [line.number for line in lines] == [1, 3, 6]


def test_utf16_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = written(tmp_path / "registry.csv", HEADER.encode("utf-16"))
    with pytest.raises(LoadRefused, match="CSV UTF-8"):
        read(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "missing.csv", tmp_path, tmp_path / "fifo"):
        with pytest.raises(LoadRefused):
            CsvSource.open(path)


def test_a_file_over_the_size_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_source, "MAX_FILE", 10)
    with pytest.raises(LoadRefused):
        CsvSource.open(written(tmp_path / "registry.csv", b"x" * 11))


def test_a_file_that_changes_between_the_two_readings_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "registry.csv", "\n".join([HEADER, *ROWS, ""]).encode())
    with CsvSource.open(path) as source:
        source.survey()
        with path.open("ab") as file:
            file.write("苏D10003,blue,刘洋,13905190003\n".encode())
        with pytest.raises(LoadRefused, match="改动"):
            list(source.lines())


@UNHURRIED
@given(content=st.one_of(st.binary(max_size=200), st.text(alphabet='苏D1,;"\n\r\x00\ufeff', max_size=60)))
def test_any_bytes_give_numbered_lines_or_a_refusal(
    content: bytes | str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = content.encode() if isinstance(content, str) else content
    path = written(tmp_path_factory.getbasetemp() / "any.csv", raw)
    try:
        _, lines = read(path)
    except LoadRefused:
        return
    numbers = [line.number for line in lines]
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= raw.count(b"\n") + 1 for number in numbers)
