"""Which part of a file a request asks for (RFC 9110, 14). Pure."""

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes\s*=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range is well formed and lies wholly outside the file."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes from `start` on, `length` of them."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """Return the header that names it among `size` bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def read_range(header: str | None, if_range: str | None, etag: str, size: int) -> Part | None:
    """Return the part that is asked for; None for the whole file.

    What cannot be read, another unit, several ranges, or an `If-Range` that names another state of the file
    ask for the whole, as the RFC allows or demands. Raises Unsatisfiable.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        if length == 0:
            raise Unsatisfiable
        return Part(size - length, length)
    start = int(first)
    if last and int(last) < start:
        return None  # not a range at all
    if start >= size:
        raise Unsatisfiable
    end = min(int(last), size - 1) if last else size - 1
    return Part(start, end - start + 1)
