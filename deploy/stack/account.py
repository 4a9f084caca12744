"""Running a server as an unprivileged account, wherever its files are.

PostgreSQL refuses to run as root and nothing else should. The account usually cannot reach files below a
root-only directory such as /root, so the server gets a private mount namespace in which only the
directories it needs appear, under their usual paths. Nothing is mounted outside that namespace and it
vanishes with the server's last process, even one killed with SIGKILL.
"""

import functools
import os
import pwd
import shlex
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class NotReachableError(RuntimeError):
    """An account cannot reach a directory it needs and this machine offers no way to show it."""


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int

    def own(self, *directories: Path) -> None:
        """Create the directories for this account alone (0700); as root, hand them over."""
        for directory in directories:
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)
            self.own_file(directory)

    def own_file(self, path: Path) -> None:
        """As root, hand one file over to this account."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def unprivileged(*names: str) -> Account:
    """The first of these users that exists (else `nobody`); when not root, the user we already are."""
    if os.geteuid() != 0:
        return myself()
    for name in (*names, "nobody"):
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise NotReachableError("this machine has no unprivileged user, not even `nobody`")


def myself() -> Account:
    """The user this process runs as, for what an unprivileged one cannot do."""
    try:
        return _account(pwd.getpwuid(os.geteuid()))
    except KeyError:  # a container may run under a number without a name
        return Account(str(os.geteuid()), os.geteuid(), os.getegid())


def as_account(argv: Sequence[str], account: Account, needs: Sequence[Path], orphan_signal: str) -> list[str]:
    """The command line that runs `argv` as the account, able to reach the directories in `needs`.

    orphan_signal: sent to the server when the process that started it dies (`KILL`, `TERM`, `INT`).
    Raises NotReachableError.
    """
    drop = ["setpriv", "--pdeathsig", orphan_signal]
    if os.geteuid() != 0:
        return [*drop, "--", *argv]
    drop += [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--no-new-privs"]
    command = [*drop, "--", *argv]
    script = "".join(
        _veil(wall, [need for need in needs if need.is_relative_to(wall)])
        for wall in sorted({wall for need in needs for wall in _walls(need, account)})
    )
    if not script:
        return command
    if not _may_unshare():
        hidden = ", ".join(str(need) for need in needs if _walls(need, account))
        raise NotReachableError(
            f"user {account.name} cannot reach {hidden}, and this machine forbids private mounts: "
            "set MOVECAR_DATA_DIR and XDG_CACHE_HOME to directories that every user may enter"
        )
    private = ["unshare", "--mount", "--propagation", "private", "--"]
    return [*private, "sh", "-ec", script + 'exec "$@"', "sh", *command]


@functools.cache
def _may_unshare() -> bool:
    """Whether private mounts can be made: not in a container without CAP_SYS_ADMIN."""
    try:
        run = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return run.returncode == 0


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _walls(path: Path, account: Account) -> list[Path]:
    """The outermost directory on the way to `path` that the account may not enter; none: empty list."""
    if account.uid == 0:
        return []
    for parent in reversed(path.absolute().parents):
        facts = parent.stat()
        if facts.st_uid == account.uid:
            enters = facts.st_mode & stat.S_IXUSR
        elif facts.st_gid == account.gid:
            enters = facts.st_mode & stat.S_IXGRP
        else:
            enters = facts.st_mode & stat.S_IXOTH
        if not enters:
            return [parent]
    return []


def _veil(wall: Path, needs: Sequence[Path]) -> str:
    """Shell lines that replace `wall` by an empty readable directory holding only `needs`."""
    lines = [
        f"mount --bind {shlex.quote(str(wall))} /mnt",
        f"mount -t tmpfs -o mode=755,size=1m movecar {shlex.quote(str(wall))}",
    ]
    for need in needs:
        target = shlex.quote(str(need))
        behind = shlex.quote(str(Path("/mnt") / need.relative_to(wall)))
        lines.append(f"umask 022; mkdir -p {target}; mount --bind {behind} {target}")
    return "\n".join([*lines, "umount -l /mnt", ""])
