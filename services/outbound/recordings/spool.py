"""The PBX's spool: files that somebody else writes, trusted with nothing.

Only plain files with an attempt's name are opened, no link is followed, and sizes are bounded. Several
processes may share a spool: who holds a file's lock has it, and a process that dies lets go of its locks.
"""

import fcntl
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from services.outbound.recordings.wav import HEADER_BYTES

MAX_BYTES: Final = 512 * 1024 * 1024
"""No call lasts that long: nine hours."""
_NAME: Final = re.compile(r"([0-9a-f]{32})\.wav")
_BLOCK: Final = 256 * 1024


class Strange(Exception):
    """A file in the spool is no recording of a call; `reason` is a lowercase code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Changed(Exception):
    """A file was written to while it was being read."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in the spool: attempts' ids by their files, and names that are no attempt's."""

    attempts: frozenset[str]
    strangers: frozenset[str]


class Taken:
    """A file of the spool that is ours alone until it is closed; it reads as long as it was when taken."""

    def __init__(self, attempt_id: str, directory: int, descriptor: int) -> None:
        self.attempt_id = attempt_id
        self._directory = directory
        self._descriptor = descriptor
        facts = os.fstat(descriptor)
        self.size = facts.st_size
        self.written_at = facts.st_mtime
        """When it was last written to, in seconds since the epoch."""
        self._mark = facts.st_mtime_ns
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def head(self) -> bytes:
        """Return the first 44 bytes, or fewer."""
        return os.pread(self._descriptor, min(HEADER_BYTES, self.size), 0)

    def rewind(self) -> Self:
        """Read from the beginning (again)."""
        self._position = 0
        return self

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, none at the end."""
        part = os.pread(self._descriptor, min(size, self.size - self._position), self._position)
        self._position += len(part)
        return part

    def sha256(self) -> str:
        """Return the hash of the whole file, in hexadecimal."""
        digest = hashlib.sha256()
        self.rewind()
        while part := self.read(_BLOCK):
            digest.update(part)
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raise Changed when the file is not what it was when it was taken."""
        facts = os.fstat(self._descriptor)
        if (facts.st_size, facts.st_mtime_ns, facts.st_nlink) != (self.size, self._mark, 1):
            raise Changed

    def remove(self) -> None:
        """Delete the file from the spool."""
        os.unlink(_name(self.attempt_id), dir_fd=self._directory)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)
        os.close(self._directory)


class Spool:
    """One directory of recordings. Blocking: use it in a thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def listing(self) -> Listing:
        """Return what is there. Raises OSError when it cannot be read."""
        with os.scandir(self.directory) as entries:
            names = [entry.name for entry in entries]
        attempts = {found[1] for name in names if (found := _NAME.fullmatch(name))}
        return Listing(frozenset(attempts), frozenset(names) - {_name(attempt) for attempt in attempts})

    def take(self, attempt_id: str) -> Taken | None:
        """Take an attempt's file; None when it is gone or another process has it.

        Raises Strange for what is no plain file of a sensible size, OSError when it cannot be read.
        """
        name = _name(attempt_id)
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        descriptor = -1
        try:
            _check(os.stat(name, dir_fd=directory, follow_symlinks=False))
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            facts = os.fstat(descriptor)
            _check(facts)
            here = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if (here.st_dev, here.st_ino) == (facts.st_dev, facts.st_ino):
                taken = Taken(attempt_id, directory, descriptor)
                directory = descriptor = -1
                return taken
        except (FileNotFoundError, BlockingIOError):
            pass
        finally:
            for held in (descriptor, directory):
                if held >= 0:
                    os.close(held)
        return None


def _name(attempt_id: str) -> str:
    return f"{attempt_id}.wav"


def _check(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise Strange("no_file")
    if facts.st_nlink > 1:
        raise Strange("linked")  # deleting this name would leave the sound under another one
    if facts.st_size > MAX_BYTES:
        raise Strange("too_large")
