"""Following the switch's call-record file through rotation, truncation and half-written lines. No database.

The switch opens its file anew for every record, so the file may be renamed, or copied and truncated, at any
moment. A file is known by device and inode; that it still is the one that was read is told by the last line,
which must be where it was. What is not known is read from its beginning: storing a line twice does no harm.
"""

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

CHUNK: Final = 256 * 1024
"""Bytes read of a file at a time; a line that is longer is read in pieces, none of which is a record."""
SETTLED_SECONDS: Final = 60.0
"""How long a file that was rotated away must have been left alone before its last line counts as ended."""

_PIECES: Final = re.compile(rb"[^\n]*\n|[^\n]+")

FileId = tuple[str, str]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file was read; see `models.CallRecordFile`."""

    offset: int = 0
    lines: int = 0
    line_at: int = 0
    line_digest: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next lines of a file, and how far they lead."""

    file: FileId
    before: Position | None
    after: Position
    lines: tuple[tuple[int, bytes], ...]
    """Number of the line from 1, and the line without its end."""
    shrank: bool = False
    """What was read before is not in it any more."""
    lost: bool = False
    """It shrank, and no other file has what it held: lines may have been lost unread."""
    more: bool = False


def digest(*parts: bytes) -> str:
    """Return 32 hexadecimal characters that stand for these bytes."""
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:32]


class CallRecordFiles:
    """The files of one switch: the one it writes, and those that were rotated away beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rotated = re.compile(re.escape(path.name) + r"[.-][0-9]{1,14}")
        self._unchanged: dict[FileId, tuple[int, int]] = {}
        """Size and modification time of files that were read to their end."""

    def read(self, known: Mapping[FileId, Position], now: float) -> tuple[list[Chunk], set[FileId]]:
        """Return the next lines of every file, oldest file first, and which files there are.

        `now` is seconds since 1970. Raises OSError when the directory or a file cannot be read; that the
        switch has not written its first record yet is no error.
        """
        chunks: list[Chunk] = []
        present: set[FileId] = set()
        for path in self._paths():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # rotated away since the directory was read; it is found by its new name
            try:
                chunk = self._read_one(path, descriptor, known, now, present)
            finally:
                os.close(descriptor)
            if chunk is not None:
                chunks.append(chunk)
        self._unchanged = {file: seen for file, seen in self._unchanged.items() if file in present}
        return chunks, present

    def forget(self) -> None:
        """Look at every file again, as after a start."""
        self._unchanged.clear()

    def _paths(self) -> list[Path]:
        with os.scandir(self.path.parent) as entries:
            rotated = [entry for entry in entries if self._rotated.fullmatch(entry.name)]
        dated = []
        for entry in rotated:
            try:
                dated.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.path))
            except FileNotFoundError:
                continue
        return [*(Path(path) for _, path in sorted(dated)), self.path]

    def _read_one(
        self,
        path: Path,
        descriptor: int,
        known: Mapping[FileId, Position],
        now: float,
        present: set[FileId],
    ) -> Chunk | None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path.name} is no file")
        file = (str(status.st_dev), str(status.st_ino))
        if file in present:
            return None  # renamed while we looked: read under its other name
        present.add(file)
        if self._unchanged.get(file) == (status.st_size, status.st_mtime_ns):
            return None
        before = known.get(file)
        shrank = before is not None and not _holds(descriptor, status.st_size, before)
        start = Position() if before is None or shrank else before
        data = os.pread(descriptor, CHUNK, start.offset)
        settled = path != self.path and now - status.st_mtime > SETTLED_SECONDS
        lines, after = _cut(data, start, file_ends=settled and len(data) < CHUNK)
        if len(data) < CHUNK and (settled or path == self.path):
            self._unchanged[file] = (status.st_size, status.st_mtime_ns)
        if not lines and not shrank:
            return None
        lost = shrank and not any(self._has_copy(other, path, before) for other in self._paths())
        return Chunk(file, before, after, lines, shrank, lost, more=len(data) == CHUNK)

    def _has_copy(self, other: Path, path: Path, position: Position | None) -> bool:
        if other == path or position is None:
            return False
        try:
            descriptor = os.open(other, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return _holds(descriptor, os.fstat(descriptor).st_size, position)
        finally:
            os.close(descriptor)


def _holds(descriptor: int, size: int, position: Position) -> bool:
    """Tell whether the last line that was read is where it was."""
    if size < position.offset:
        return False
    line = os.pread(descriptor, position.offset - position.line_at, position.line_at)
    return digest(line) == position.line_digest


def _cut(data: bytes, start: Position, *, file_ends: bool) -> tuple[tuple[tuple[int, bytes], ...], Position]:
    """Cut data at its line ends; what is behind the last one is left, unless nothing can follow it."""
    pieces = _PIECES.findall(data)
    partial = bool(pieces) and not pieces[-1].endswith(b"\n")
    too_long = len(pieces) == 1 and len(data) == CHUNK
    if partial and not file_ends and not too_long:
        pieces.pop()
    lines: list[tuple[int, bytes]] = []
    position = start
    for piece in pieces:
        position = replace(
            position,
            offset=position.offset + len(piece),
            lines=position.lines + 1,
            line_at=position.offset,
        )
        lines.append((position.lines, piece.removesuffix(b"\n")))
    if pieces:
        position = replace(position, line_digest=digest(pieces[-1]))
    return tuple(lines), position
