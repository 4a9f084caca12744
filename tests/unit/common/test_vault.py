"""Sealed files give back what was written, from anywhere, and notice every change."""

import hashlib
import io
import os
import resource
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.vault import CHUNK, Digest, Vault, VaultBroken

VAULT = Vault(b"k" * 32)
HEADER, TAG = 32, 16

# Around every border there is: empty, one chunk, whole chunks, and one more or less.
BORDERS = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 77, 3 * CHUNK]
sizes = st.one_of(st.sampled_from(BORDERS), st.integers(0, 3 * CHUNK))


def plain(size: int) -> bytes:
    """Bytes in which no two places look alike."""
    return hashlib.shake_128(b"plain").digest(size)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vault")


def sealed(home: Path, size: int, context: str = "mine") -> Path:
    path = home / "sealed"
    VAULT.write(path, io.BytesIO(plain(size)), context)
    return path


def whole(path: Path, context: str = "mine") -> bytes:
    with VAULT.open(path, context) as file:
        return b"".join(file.read())


@given(size=sizes)
@settings(max_examples=40)
def test_what_was_written_is_read(home: Path, size: int) -> None:
    path = home / "sealed"
    expected = Digest(size, hashlib.sha256(plain(size)).hexdigest())
    assert VAULT.write(path, io.BytesIO(plain(size)), "mine") == expected
    assert VAULT.digest(path, "mine") == expected
    assert whole(path) == plain(size)


@given(size=sizes, start=st.integers(0, 3 * CHUNK + 5), length=st.integers(0, 3 * CHUNK + 5))
@settings(max_examples=60)
def test_any_range_is_that_part_of_the_whole(home: Path, size: int, start: int, length: int) -> None:
    with VAULT.open(sealed(home, size), "mine") as file:
        assert file.size == size
        assert b"".join(file.read(start, length)) == plain(size)[start : start + length]
        assert b"".join(file.read(start)) == plain(size)[start:]


@given(size=sizes, place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60)
def test_one_changed_bit_anywhere_is_noticed(home: Path, size: int, place: float, bit: int) -> None:
    path = sealed(home, size)
    raw = bytearray(path.read_bytes())
    raw[int(place * len(raw))] ^= 1 << bit
    path.write_bytes(raw)
    with pytest.raises(VaultBroken):
        whole(path)


@given(size=sizes, kept=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60)
def test_a_file_that_was_cut_off_does_not_open(home: Path, size: int, kept: float) -> None:
    path = sealed(home, size)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(VaultBroken):
        VAULT.open(path, "mine")


def without_last_chunk(raw: bytes) -> bytes:
    return raw[: HEADER + 2 * (CHUNK + TAG)]


def with_an_empty_chunk_more(raw: bytes) -> bytes:
    return raw + raw[-TAG:]


def swapped(raw: bytes) -> bytes:
    first, second = (raw[HEADER + n * (CHUNK + TAG) :][: CHUNK + TAG] for n in (0, 1))
    return raw[:HEADER] + second + first + raw[HEADER + 2 * (CHUNK + TAG) :]


def repeated(raw: bytes) -> bytes:
    return raw[: HEADER + CHUNK + TAG] + raw[HEADER:]


@pytest.mark.parametrize("tamper", [without_last_chunk, with_an_empty_chunk_more, swapped, repeated])
def test_chunks_have_their_places(home: Path, tamper: Callable[[bytes], bytes]) -> None:
    path = sealed(home, 3 * CHUNK)
    path.write_bytes(tamper(path.read_bytes()))
    with pytest.raises(VaultBroken):
        whole(path)


def test_a_chunk_of_another_file_does_not_open(home: Path) -> None:
    path = sealed(home, CHUNK)
    one = path.read_bytes()
    other = sealed(home, CHUNK).read_bytes()
    path.write_bytes(one[:HEADER] + other[HEADER:])
    with pytest.raises(VaultBroken):
        whole(path)


def test_a_file_that_was_copied_to_another_place_does_not_open(home: Path) -> None:
    path = sealed(home, 1000)
    with pytest.raises(VaultBroken):
        VAULT.open(path, "another")


def test_another_key_is_told_from_damage(home: Path) -> None:
    path = sealed(home, 1000)
    with pytest.raises(VaultBroken, match="another key"):
        Vault(b"x" * 32).open(path, "mine")


def test_the_sealed_bytes_tell_nothing_of_the_plain_ones(home: Path) -> None:
    path = home / "sealed"
    VAULT.write(path, io.BytesIO(b"secret" * 20_000), "mine")
    first = path.read_bytes()
    VAULT.write(path, io.BytesIO(b"secret" * 20_000), "mine")
    assert b"secretsecret" not in first
    assert first[HEADER:] != path.read_bytes()[HEADER:]


def test_a_link_is_not_followed(home: Path) -> None:
    link = home / "link"
    link.symlink_to(sealed(home, 10))
    with pytest.raises(OSError, match="symbolic links"):
        VAULT.open(link, "mine")
    link.unlink()


def test_files_and_directories_are_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "2026" / "04" / "01" / "one"
    VAULT.write(path, io.BytesIO(b"x"), "mine")
    assert path.stat().st_mode & 0o777 == 0o600
    assert {path.parents[level].stat().st_mode & 0o777 for level in range(3)} == {0o700}
    assert [entry.name for entry in path.parent.iterdir()] == ["one"]


def test_large_files_take_little_memory(tmp_path: Path) -> None:
    class Long:
        left = 64 * 1024 * 1024

        def read(self, size: int, /) -> bytes:
            given = min(size, self.left, 10_000)  # a source may give less than it is asked for
            self.left -= given
            return bytes(given)

    tracemalloc.start()
    try:
        path = tmp_path / "long"
        assert VAULT.write(path, Long(), "mine").size == 64 * 1024 * 1024
        VAULT.digest(path, "mine")
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    VAULT.write(path, io.BytesIO(b"before"), "mine")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            VAULT.write(path, io.BytesIO(plain(500_000)), "mine")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert whole(path) == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_writer_that_is_killed_leaves_the_old_file_and_no_obstacle(tmp_path: Path, call: str) -> None:
    path = tmp_path / "kept"
    VAULT.write(path, io.BytesIO(b"before"), "mine")
    program = f"""
        import io, os, pathlib, signal
        from services.common.vault import Vault
        def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        os.{call} = pathlib.Path.{call} = die
        Vault(b"k" * 32).write(pathlib.Path({str(path)!r}), io.BytesIO(b"after"), "mine")
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert run.returncode == -9
    assert whole(path) == b"before"
    VAULT.write(path, io.BytesIO(b"after"), "mine")
    assert whole(path) == b"after"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
