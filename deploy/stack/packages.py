"""The Debian packages that real parts come from: found, installed when we may, else named with the remedy."""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path


class PartMissingError(RuntimeError):
    """A real part cannot be had on this machine; says which one and what a person can do about it."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(f"{name} is missing: {remedy}")
        self.name = name
        self.remedy = remedy


def postgres_bin() -> Path:
    """Directory of the newest PostgreSQL server programs (Debian keeps them off the PATH)."""
    return _require("PostgreSQL", _find_postgres, ["postgresql"])


def redis_server() -> Path:
    return _require("Redis", lambda: _which("redis-server"), ["redis-server"])


def sipp() -> Path:
    return _require("SIPp", lambda: _which("sipp"), ["sip-tester"])


def sipp_for_keypresses() -> Path:
    """SIPp that may send keypresses, which takes a raw socket."""
    program = sipp()
    sipp_pcaps()
    if os.geteuid() != 0:
        try:
            os.getxattr(program, "security.capability")
        except OSError as error:
            remedy = f"run as root, or `sudo setcap cap_net_raw+ep {program}` once"
            raise PartMissingError("SIPp's right to send keypresses", remedy) from error
    return program


def sipp_pcaps() -> Path:
    """Directory of the RFC 4733 keypress captures that the SIPp package brings."""

    def find() -> Path | None:
        homes = (Path("/usr/share/sip-tester"), Path("/usr/share/sipp/pcap"), Path("/usr/share/sipp"))
        return next((home for home in homes if (home / "dtmf_2833_1.pcap").is_file()), None)

    return _require("SIPp keypress captures", find, ["sip-tester"])


def espeak() -> Path:
    return _require("espeak-ng", lambda: _which("espeak-ng"), ["espeak-ng"])


def sox() -> Path:
    return _require("SoX", lambda: _which("sox"), ["sox"])


def debian_keyring() -> Path:
    """Keyring that Debian's own archive is signed with."""

    def find() -> Path | None:
        homes = Path("/usr/share/keyrings")
        names = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
        return next((homes / name for name in names if (homes / name).is_file()), None)

    return _require("Debian's archive keyring", find, ["debian-archive-keyring"])


def asterisk() -> Path:
    """The system's own Asterisk, for machines whose package archive is not Debian's."""
    return _require("Asterisk", lambda: _which("asterisk"), ["asterisk"])


def chromium() -> Path:
    def find() -> Path | None:
        names = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
        return next((path for name in names if (path := _which(name))), None)

    return _require("Chromium", find, ["chromium"])


def _require(name: str, find: Callable[[], Path | None], debian: Sequence[str]) -> Path:
    path = find()
    if path is not None:
        return path
    packages = " ".join(debian)
    if shutil.which("apt-get") is None:
        raise PartMissingError(name, f"install it (on Debian the package is {packages}), then try again")
    if os.geteuid() != 0:
        raise PartMissingError(
            name, f"run `sudo apt-get install {packages}`, or run this command as root once"
        )
    print(f"installing {name} ({packages}) ...", flush=True)
    problem = _apt_install(debian)
    path = find()
    if path is None:
        raise PartMissingError(
            name, f"`apt-get install {packages}` did not bring it: {problem or 'no error given'}"
        )
    return path


def _apt_install(packages: Sequence[str]) -> str:
    """Install quietly; returns the last line of what went wrong, empty when nothing did."""
    problem = _refresh_lists()
    run = _apt("install", "-y", "-qq", "--no-install-recommends", *packages)
    return "" if run.returncode == 0 else _last_line(run.stderr) or problem


@functools.cache  # once a process is often enough
def _refresh_lists() -> str:
    run = _apt("update", "-qq")
    return "" if run.returncode == 0 else _last_line(run.stderr)


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Debian's post-install scripts must neither ask nor start servers of their own on this machine."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "RUNLEVEL": "1"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    return subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]


def _which(name: str) -> Path | None:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    return Path(found) if found else None


def _find_postgres() -> Path | None:
    homes = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    homes.sort(key=lambda home: int(home.parent.name) if home.parent.name.isdigit() else 0)
    on_path = _which("initdb")
    return homes[-1] if homes else (on_path.resolve().parent if on_path else None)
