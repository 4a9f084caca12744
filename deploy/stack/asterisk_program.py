"""Asterisk's program and modules: Debian's own packages, unpacked beside the machine's system.

Debian 12 has no Asterisk; Debian sid has the 22 LTS branch. Its packages and everything they need (the C
library included) are fetched with apt from the machine's own mirror, unpacked into a cache directory and run
through the dynamic loader found there. That needs neither root, nor chroot, nor mounts, and takes about 12 s
instead of debootstrap's 44 s. Delete the cached directory to get a newer build.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.stack import packages
from deploy.stack.apt_sources import Mirror, debian_mirror
from deploy.stack.cache import built_once

_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/share/perl5")


@dataclass(frozen=True)
class AsteriskProgram:
    """How to start an Asterisk whose directories are all given by its `asterisk.conf`."""

    command: tuple[str, ...]
    modules: Path
    documentation: Path
    home: Path
    """Directory it must be able to read."""

    def version(self) -> str:
        """E.g. `Asterisk 22.10.1~dfsg...`."""
        run = subprocess.run([*self.command, "-V"], capture_output=True, text=True, check=True)
        return run.stdout.strip()


def asterisk_program() -> AsteriskProgram:
    """The cached one, unpacked now when missing; on other systems the installed one.

    Raises PartMissingError.
    """
    mirror = debian_mirror()
    if mirror is not None and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        name = f"asterisk-root-{_architecture()}"
        return _relocated(built_once(name, lambda target: _unpack(target, mirror)))
    return _installed()


def _installed() -> AsteriskProgram:
    program = packages.asterisk()
    homes = [*Path("/usr/lib").glob("*/asterisk/modules"), Path("/usr/lib/asterisk/modules")]
    modules = next((home for home in homes if (home / "res_pjsip.so").is_file()), None)
    documentation = next(
        (
            home
            for base in ("/usr/share", "/var/lib")
            if (home := Path(base) / "asterisk/documentation").is_dir()
        ),
        None,
    )
    if modules is None or documentation is None:
        raise packages.PartMissingError(
            "Asterisk", f"{program} is installed without PJSIP or its documentation"
        )
    return AsteriskProgram((str(program),), modules, documentation, modules)


def _relocated(root: Path) -> AsteriskProgram:
    loader = next(iter(sorted(root.glob("usr/lib/*/ld-linux-*.so.*"))), None)
    if loader is None:
        raise packages.PartMissingError("Asterisk", f"{root} has no dynamic loader; delete it and try again")
    libraries = loader.parent
    return AsteriskProgram(
        command=(str(loader), "--library-path", str(libraries), str(root / "usr/sbin/asterisk")),
        modules=libraries / "asterisk" / "modules",
        documentation=root / "usr/share/asterisk/documentation",
        home=root,
    )


def _architecture() -> str:
    run = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def _unpack(target: Path, mirror: Mirror) -> None:
    """Fetch Asterisk with all it depends on and unpack it; apt verifies signatures and checksums."""
    print("fetching Asterisk 22 (about 80 MB, once) ...", flush=True)
    private = target / "apt"
    for directory in ("state/lists/partial", "cache/archives/partial", "etc"):
        (private / directory).mkdir(parents=True)
    (private / "status").touch()  # nothing counts as installed, so the C library comes along
    keyring = mirror.keyring or packages.debian_keyring()
    (private / "etc/sources.list").write_text(f"deb [signed-by={keyring}] {mirror.uri} sid main\n")
    options = {
        "Dir::State": private / "state",
        "Dir::State::status": private / "status",
        "Dir::Cache": private / "cache",
        "Dir::Etc::sourcelist": private / "etc/sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferencesparts": "-",
        "APT::Sandbox::User": "",  # the cache directory may be closed to apt's own user
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "-qq", *(text for name, value in options.items() for text in ("-o", f"{name}={value}"))]
    _run([*apt, "update"])
    _run([*apt, "-y", "--no-install-recommends", "--download-only", "install", "asterisk"])
    for archive in sorted((private / "cache/archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(archive), str(target)])
    for unused in (*_UNUSED, "apt"):
        shutil.rmtree(target / unused, ignore_errors=True)
    target.chmod(0o755)
    _run([*_relocated(target).command, "-V"])


def _run(command: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if run.returncode != 0:
        raise packages.PartMissingError("Asterisk", f"{command[0]} failed: {run.stderr.strip()[-400:]}")
