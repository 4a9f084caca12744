"""The mirror that this machine gets Debian from, in both of apt's file formats."""

from pathlib import Path

import pytest

from deploy.stack.apt_sources import Mirror, debian_mirror

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nVERSION_CODENAME=bookworm\nID=debian\n'
THIRD_PARTY = "deb https://packages.cloud.example/apt cloud-sdk-bookworm main\n"
SECURITY = "deb http://mirror.example/debian-security bookworm-security main\n"
DEB822 = """# comment
Types: deb
URIs: http://deb.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: {keyring}

Types: deb
URIs: http://deb.example/debian-security
Suites: bookworm-security
"""

# file name, content, mirror; {keyring} is an existing file
SOURCES = [
    ("sources.list", "deb http://mirror.example/debian bookworm main\n", "http://mirror.example/debian"),
    (
        "sources.list",
        SECURITY + "deb [arch=amd64] https://m.example/debian/ bookworm main",
        "https://m.example/debian",
    ),
    ("sources.list", "deb-src http://src.example/debian bookworm main\n", None),
    ("sources.list", "# deb http://off.example/debian bookworm main\n", None),
    ("sources.list", "deb cdrom:[Debian]/ bookworm main\n", None),
    ("sources.list", THIRD_PARTY, None),
    ("sources.list.d/x.list", "deb [signed-by={keyring}] http://k.example/d sid main", "http://k.example/d"),
    ("sources.list.d/debian.sources", DEB822, "http://deb.example/debian"),
    (
        "sources.list.d/debian.sources",
        DEB822.replace("Types: deb\n", "Types: deb deb-src\n"),
        "http://deb.example/debian",
    ),
    ("sources.list.d/debian.sources", DEB822.replace("# comment", "Enabled: no"), None),
    (
        "sources.list.d/debian.sources",
        DEB822.replace("URIs: ", "URIs: http://first.example/d\n  "),
        "http://first.example/d",
    ),
]


def _machine(root: Path, name: str, content: str, os_release: str = DEBIAN) -> Path:
    keyring = root / "keyring.gpg"
    path = root / "etc/apt" / name
    path.parent.mkdir(parents=True)
    keyring.touch()
    (root / "etc/os-release").write_text(os_release)
    path.write_text(content.replace("{keyring}", str(keyring)))
    return keyring


@pytest.mark.parametrize(("name", "content", "uri"), SOURCES)
def test_the_mirror_is_the_one_that_carries_this_release(
    tmp_path: Path, name: str, content: str, uri: str | None
) -> None:
    keyring = _machine(tmp_path, name, content)
    expected = Mirror(uri, keyring if "{keyring}" in content else None) if uri else None
    assert debian_mirror(tmp_path) == expected


def test_another_distribution_has_no_debian_mirror(tmp_path: Path) -> None:
    _machine(
        tmp_path, "sources.list", "deb http://u.example/ubuntu stable main", "ID=ubuntu\nID_LIKE=debian\n"
    )
    assert debian_mirror(tmp_path) is None


def test_a_machine_without_apt_has_no_mirror(tmp_path: Path) -> None:
    assert debian_mirror(tmp_path) is None
