"""An Asterisk of our own: own configuration, ports, spool, log and AstDB.

The manager interface is on 127.0.0.1; SIP and speech are on the address that leads to the trunk.
"""

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from deploy.asterisk.prompts import check
from deploy.asterisk.render import PbxSettings, write
from deploy.stack.account import unprivileged
from deploy.stack.ami_probe import AmiError, AmiProbe
from deploy.stack.asterisk_program import asterisk_program
from deploy.stack.child import Child, PartFailedError
from deploy.stack.ports import address_towards, free_port

RTP_PORTS = 4000
"""Ports for speech; a call takes two. Asterisk passes over those in use, so that switches may share them."""


class Asterisk:
    """A switch whose files all live in `directory`; many can run side by side from one cached program.

    prompts: directory made by `deploy.asterisk.prompts`. trunk_uri: where calls go. ami_port, key_wait and
    other fields of PbxSettings can be given by name.
    Raises PartMissingError when Asterisk cannot be had, PartFailedError when it does not start, PromptError
    when a prompt is missing.
    """

    def __init__(
        self,
        directory: Path,
        *,
        prompts: Path,
        trunk_uri: str,
        **settings: int | str | tuple[str, ...] | tuple[tuple[str, ...], ...] | Path | None,
    ) -> None:
        self._program = asterisk_program()
        self._account = unprivileged("asterisk")
        self._made = prompts
        rtp = 32_768 + 2 * secrets.randbelow(12_000)
        defaults = PbxSettings(
            directory=directory.absolute(),
            modules=self._program.modules,
            ami_secret=secrets.token_hex(24),
            ami_port=free_port(),
            sip_port=free_port(2),
            rtp_first=rtp,
            rtp_last=rtp + RTP_PORTS - 1,
            trunk_uri=trunk_uri,
            sip_host=_own_address(trunk_uri),
        )
        self.settings = replace(defaults, **settings)  # type: ignore[arg-type] # checked by PbxSettings
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running switch; raises PartFailedError before the first `start()`."""
        if self._child is None:
            raise PartFailedError("Asterisk was not started")
        return self._child

    @property
    def log(self) -> Path:
        return self.settings.log / "messages"

    @property
    def call_records(self) -> Path:
        """Asterisk's own records; `services.outbound.evidence.line` reads a line."""
        return self.settings.log / "cdr-custom" / "movecar.csv"

    @property
    def prompts(self) -> Path:
        """Where it takes its prompts from."""
        return self.settings.data / "sounds" / "movecar"

    def recording(self, attempt: str) -> Path:
        """Recording of an answered attempt; its size is final once the call has ended."""
        return self.settings.recordings / f"{attempt}.wav"

    def version(self) -> str:
        return self._program.version()

    def start(self) -> None:
        """Start the switch and return when it takes calls."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        if self._child is not None and self._child.running:
            return
        check(self._made)
        self._lay_out()
        self._child = Child(
            "Asterisk",
            [*self._program.command, "-f", "-C", str(self.settings.etc / "asterisk.conf")],
            log=self.settings.directory / "console.log",
            account=self._account,
            needs=[self.settings.directory, self._program.home, *self._elsewhere],
            cwd=Path("/"),
            env={
                "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                "HOME": str(self.settings.state),
                "LANG": "C.UTF-8",
            },
        )
        self._child.spawn()

    def wait_ready(self, deadline: float = 60.0) -> None:
        """Return when it says so itself: log-ins are accepted before the dialplan is loaded."""
        self.child.wait_until(self._booted, deadline)

    def connect(self, deadline: float = 10.0) -> AmiProbe:
        """A connection with the rights that the services have."""
        settings = self.settings
        return AmiProbe(
            settings.ami_host, settings.ami_port, settings.ami_user, settings.ami_secret, deadline
        )

    def stop(self) -> None:
        """End it at once; calls are cut."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL: calls, and up to a second of AstDB, are lost."""
        self.child.kill()

    @property
    def _elsewhere(self) -> list[Path]:
        shared = self.settings.shared_spool
        return [] if shared is None else [shared]

    def _lay_out(self) -> None:
        settings = self.settings
        sounds = self.prompts
        self._account.own(
            *(settings.directory, settings.etc, settings.data, settings.state, settings.spool),
            *(
                settings.recordings,
                settings.run,
                settings.log,
                self.call_records.parent,
                sounds.parent,
                sounds,
            ),
        )
        write(settings)
        for path in settings.etc.iterdir():
            self._account.own_file(path)
        documentation = settings.data / "documentation"
        documentation.unlink(missing_ok=True)
        documentation.symlink_to(self._program.documentation)
        for prompt in sorted(self._made.rglob("*")):
            copy = sounds / prompt.relative_to(self._made)
            if prompt.is_dir():
                self._account.own(copy)
            else:
                shutil.copyfile(prompt, copy)
                self._account.own_file(copy)

    def _booted(self) -> bool:
        try:
            with self.connect(deadline=5.0) as probe:
                probe.until(lambda event: event.get("Event") == "FullyBooted")
        except ConnectionRefusedError:
            return False
        except (OSError, AmiError) as error:
            if self.child.running:
                raise PartFailedError(
                    f"Asterisk's manager interface: {error}\n{self.child.log_tail()}"
                ) from error
            return False
        return True


def _own_address(trunk_uri: str) -> str:
    try:
        return address_towards(trunk_uri)
    except OSError as error:
        raise PartFailedError(f"the trunk {trunk_uri} cannot be reached: {error}") from error
