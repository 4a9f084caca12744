"""Encrypted files: any part can be read by itself, and any change of them is noticed (B8, E3).

A file is a header and chunks of 64 KiB, each sealed by AES-256-GCM with a key of this file alone. Bound to
every chunk are the header, whose file it is (the context), the chunk's number and whether it is the last: a
chunk that is changed, moved, swapped with another file's or cut off does not open. Memory is constant.

A file is there as a whole or not at all: it is written beside its place, synchronised, and moved there.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CHUNK: Final = 64 * 1024
"""Bytes of plain text in every chunk but the last."""
_TAG: Final = 16
_MAGIC: Final = b"movecar\x01"
_HEADER: Final = struct.Struct(">8s8s16s")
"""Magic with the version, which key, salt of the file's own key."""
_PLACE: Final = struct.Struct(">QB")
"""Number of the chunk from 0, and 1 for the last."""


class VaultBroken(Exception):
    """A sealed file was changed or cut off, belongs to another context, or was made with another key."""


class Source(Protocol):
    """Where plain bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


@dataclass(frozen=True, slots=True)
class Digest:
    """What identifies plain bytes: how many, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


class SealedFile:
    """A sealed file that is open for reading; its size is known to be the one that was written."""

    def __init__(self, descriptor: int, key: AESGCM, bound: bytes) -> None:
        self._descriptor = descriptor
        self._key = key
        self._bound = bound
        body = os.fstat(descriptor).st_size - _HEADER.size
        self._chunks = -(-body // (CHUNK + _TAG))
        self.size = body - self._chunks * _TAG
        """Bytes of plain text."""
        last = self.size - (self._chunks - 1) * CHUNK
        if self._chunks < 1 or last < 0 or (last == 0 and self._chunks > 1):
            raise VaultBroken("the file is cut off")
        self._open(self._chunks - 1)  # only the last chunk knows that nothing follows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def read(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the plain bytes from `start`, up to `length` of them, at most a chunk at a time.

        Raises VaultBroken when it comes to a chunk that does not open; what was yielded before is genuine.
        """
        end = self.size if length is None else min(self.size, start + length)
        while start < end:
            number, offset = divmod(start, CHUNK)
            part = self._open(number)[offset : offset + end - start]
            yield part
            start += len(part)

    def _open(self, number: int) -> bytes:
        last = number == self._chunks - 1
        length = (self.size - number * CHUNK if last else CHUNK) + _TAG
        sealed = os.pread(self._descriptor, length, _HEADER.size + number * (CHUNK + _TAG))
        try:
            return self._key.decrypt(_nonce(number), sealed, self._bound + _PLACE.pack(number, last))
        except InvalidTag:
            raise VaultBroken(f"chunk {number} of {self._chunks} does not open") from None


class Draft:
    """A sealed file that is written beside its place and not yet safe; `digest` is that of its plain bytes.

    `sync` and then `move` put it in its place; the file survives a power cut once `synchronise` has returned
    for the directory. What raises OSError leaves nothing but what was there before.
    """

    def __init__(self, path: Path, draft: Path, descriptor: int, digest: Digest) -> None:
        self.path = path
        self.digest = digest
        self._draft = draft
        self._descriptor = descriptor

    def sync(self) -> None:
        """Wait until the disk has the bytes."""
        try:
            os.fsync(self._descriptor)
            # Who reads it back to compare shall be given what the disk holds.
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except BaseException:
            self.discard()
            raise
        os.close(self._descriptor)

    def move(self) -> None:
        """Put it in its place, once it is synchronised."""
        try:
            self._draft.replace(self.path)
        except BaseException:
            self._draft.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Leave nothing of it, before it was synchronised."""
        os.close(self._descriptor)
        self._draft.unlink(missing_ok=True)


class Vault:
    """Seals files with keys derived from one key (`Keys.derive`). Blocking: call it in a thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._key_id = hmac.digest(key, b"key id", "sha256")[:8]

    def write(self, path: Path, source: Source, context: str) -> Digest:
        """Seal what `source` gives into `path`, in place of what is there; missing directories are made.

        When it returns, the file survives a power cut; when it raises (OSError), what was there before is
        there still. Only one may write a path at a time.
        """
        draft = self.draft(path, source, context)
        draft.sync()
        draft.move()
        synchronise(path.parent)
        return draft.digest

    def draft(self, path: Path, source: Source, context: str) -> Draft:
        """Seal what `source` gives into a draft of `path`: who writes many waits once for the disk.

        Raises OSError, and leaves nothing.
        """
        header = _HEADER.pack(_MAGIC, self._key_id, os.urandom(16))
        key, bound = self._key_of(header), header + context.encode()
        digest, size = hashlib.sha256(), 0
        _make_directory(path.parent)
        draft = path.with_name(f".{path.name}.part")
        draft.unlink(missing_ok=True)  # of a write that was killed
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(header)
                for number, (block, last) in enumerate(_blocks(source)):
                    digest.update(block)
                    size += len(block)
                    file.write(key.encrypt(_nonce(number), block, bound + _PLACE.pack(number, last)))
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return Draft(path, draft, descriptor, Digest(size, digest.hexdigest()))

    def open(self, path: Path, context: str) -> SealedFile:
        """Open a sealed file. Raises FileNotFoundError and other OSErrors, VaultBroken."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            header = os.pread(descriptor, _HEADER.size, 0)
            return SealedFile(descriptor, self._key_of(header), header + context.encode())
        except BaseException:
            os.close(descriptor)
            raise

    def digest(self, path: Path, context: str) -> Digest:
        """Read a whole sealed file and return what identifies its plain bytes. Raises as `open`."""
        digest = hashlib.sha256()
        with self.open(path, context) as file:
            for part in file.read():
                digest.update(part)
            return Digest(file.size, digest.hexdigest())

    def _key_of(self, header: bytes) -> AESGCM:
        """Return the key of one file: no two files share one, so chunk numbers are nonces enough."""
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise VaultBroken("this is no sealed file")
        _, key_id, salt = _HEADER.unpack(header)
        if key_id != self._key_id:
            raise VaultBroken("the file was sealed with another key")
        return AESGCM(HKDF(hashes.SHA256(), 32, salt=salt, info=b"movecar/vault/v1").derive(self._key))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _blocks(source: Source) -> Iterator[tuple[bytes, bool]]:
    """Cut what a source gives into chunks, one at least, and tell which is the last."""
    block = _block(source)
    while len(block) == CHUNK and (following := _block(source)):
        yield block, False
        block = following
    yield block, True


def _block(source: Source) -> bytes:
    block = source.read(CHUNK)
    while block and len(block) < CHUNK and (more := source.read(CHUNK - len(block))):
        block += more
    return block


def _make_directory(directory: Path) -> None:
    """Make a directory for us alone, and those above it, so that they survive a power cut."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    synchronise(directory.parent)


def synchronise(directory: Path) -> None:
    """Wait until the disk has the names of a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
