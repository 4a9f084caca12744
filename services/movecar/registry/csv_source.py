"""The lines of a registry file: opened once, looked over once, then read in bounded memory."""

import codecs
import csv
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Self

MAX_FILE = 4 * 2**30
"""Largest file read, in bytes: about sixty million vehicles."""
MAX_LINE = 4_096
"""Longest line, in bytes."""
_ENCODINGS = ("utf-8", "gb18030")
_CHUNK = 1 << 20


class LineFault(StrEnum):
    """Why a line could not be cut into cells."""

    TOO_LONG = "line_too_long"
    ENCODING = "encoding"
    QUOTES = "quotes"


class LoadRefused(Exception):
    """The file as a whole cannot be loaded; what was active stays active. The message is for operations."""


@dataclass(frozen=True, slots=True)
class Line:
    """A physical line of the file. A record never spans lines: no field of ours can hold a line break, and
    so one stray quote costs one line instead of the rest of the file."""

    number: int
    """From 1, the header included."""
    cells: list[str]
    fault: LineFault | None = None


class CsvSource:
    """An open registry file. `survey` first: it finds the encoding."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._surveyed = ""
        self._read = hashlib.sha256()
        self.encoding = _ENCODINGS[0]
        self.size = os.fstat(file.fileno()).st_size
        """Bytes in the file."""
        self.position = 0
        """Bytes read so far, for a progress bar."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a regular file of at most MAX_FILE bytes. Raises LoadRefused."""
        try:
            # Not blocking: a FIFO in the file's place must be refused, not waited for.
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        except OSError as error:
            raise LoadRefused(f"不能打开文件：{error.strerror}") from error
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
            file.close()
            raise LoadRefused(f"应为不超过 {MAX_FILE // 2**30} GiB 的普通文件")
        return cls(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def survey(self) -> str:
        """Read the file through once: decide its encoding and return its SHA-256 as hex.

        The encoding is the one that more of the lines with non-ASCII characters are valid in, so that a few
        damaged lines are reported as such instead of turning the whole file into nonsense. GB18030 accepts
        almost anything and therefore only counts where UTF-8 fails. Raises LoadRefused for UTF-16.
        """
        self._file.seek(0)
        start = self._file.read(2)
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise LoadRefused("文件是 UTF-16 编码，请另存为“CSV UTF-8”")
        self._file.seek(0)
        digest = hashlib.sha256()
        votes = 0
        while line := self._file.readline(_CHUNK):
            digest.update(line)
            if not line.isascii():
                votes += 1 if _decodes(line, "utf-8") else -1
        self.encoding = "utf-8" if votes >= 0 else "gb18030"
        self._surveyed = digest.hexdigest()
        self._file.seek(0)
        return self._surveyed

    def lines(self) -> Iterator[Line]:
        """Give every line but empty ones. Raises LoadRefused when the file changed since `survey`."""
        number = 0
        while raw := self._next():
            number += 1
            complete = raw.endswith(b"\n") or len(raw) <= MAX_LINE
            while not raw.endswith(b"\n") and (rest := self._next()):
                raw = rest
            if not complete:
                yield Line(number, [], LineFault.TOO_LONG)
                continue
            line = self._cut(number, raw)
            if line is not None:
                yield line
        if self._read.hexdigest() != self._surveyed:
            raise LoadRefused("文件在读取过程中被改动")

    def _next(self) -> bytes:
        raw = self._file.readline(MAX_LINE + 1)
        self._read.update(raw)
        self.position += len(raw)
        return raw

    def _cut(self, number: int, raw: bytes) -> Line | None:
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            text = raw.decode(self.encoding).rstrip("\r\n")
        except UnicodeDecodeError:
            return Line(number, [], LineFault.ENCODING)
        if not text.strip(" \t,"):
            return None
        try:
            return Line(number, next(csv.reader([text], strict=True)))
        except (csv.Error, StopIteration):
            return Line(number, [], LineFault.QUOTES)


def _decodes(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
