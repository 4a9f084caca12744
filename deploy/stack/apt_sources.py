"""Where this machine gets its Debian packages from: its mirror and the key that signs it."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DEBIAN_SUITES = {"stable", "oldstable", "testing", "unstable", "sid"}


@dataclass(frozen=True)
class Mirror:
    """A Debian archive; keyring is None when its entry names none."""

    uri: str
    keyring: Path | None


def debian_mirror(root: Path = Path("/")) -> Mirror | None:
    """The mirror of Debian itself in apt's configuration, None on a machine that has none.

    Both file formats are read. Security, backports and third-party archives do not count: they do not
    carry other suites. `root` is the directory that holds `etc`.
    """
    release = _os_release(root)
    if release.get("ID") != "debian":
        return None
    suites = _DEBIAN_SUITES | {release.get("VERSION_CODENAME", "")}
    apt = root / "etc" / "apt"
    entries = [
        *_one_line(apt / "sources.list"),
        *(entry for path in sorted(apt.glob("sources.list.d/*.list")) for entry in _one_line(path)),
        *(entry for path in sorted(apt.glob("sources.list.d/*.sources")) for entry in _deb822(path)),
    ]
    for uri, named, keyring in entries:
        if suites & set(named) and re.match(r"(https?|file)://", uri):
            return Mirror(uri.rstrip("/"), keyring)
    return None


_Entry = tuple[str, list[str], Path | None]


def _one_line(path: Path) -> Iterator[_Entry]:
    for line in _lines(path):
        found = re.match(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)", line)
        if found:
            options = dict(option.partition("=")[::2] for option in (found["options"] or "").split())
            yield found["uri"], [found["suite"]], _keyring(options.get("signed-by", ""))


def _deb822(path: Path) -> Iterator[_Entry]:
    text = "\n".join(line for line in _lines(path) if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        fields = {
            found[1].lower(): found[2].strip()
            for found in re.finditer(r"(?m)^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza)
        }
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in (
            "no",
            "false",
        ):
            for uri in fields.get("uris", "").split():
                yield uri, fields.get("suites", "").split(), _keyring(fields.get("signed-by", ""))


def _keyring(value: str) -> Path | None:
    """A key given in the entry itself, not as a file, counts as none."""
    path = Path(value.split(",", maxsplit=1)[0].strip()) if value.startswith("/") else None
    return path if path and os.access(path, os.R_OK) else None


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.is_file() else []


def _os_release(root: Path) -> dict[str, str]:
    pairs = (line.partition("=")[::2] for line in _lines(root / "etc" / "os-release") if "=" in line)
    return {name: value.strip("\"'") for name, value in pairs}
