"""One recording from the spool into the store: judged, sealed, read back. Blocking; no database here."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from services.common.clock import local
from services.common.vault import Digest, Vault, VaultBroken
from services.outbound.recordings.spool import Taken
from services.outbound.recordings.wav import Wav, WavFault, length_fault, read_header

SETTLING_SECONDS: Final = 120.0
"""How long a file that is not whole is waited for, after the call's end and the last write to it."""
_UNHEARD_SECONDS: Final = 3.0
"""A call that short may end before anything was said."""
_UNHEARD_SETTLING_SECONDS: Final = 5.0


class Unfaithful(Exception):
    """What was read back is not what was written: the disk is failing."""


class NotYet(Exception):
    """The file is not finished, or being written to."""


class Differs(Exception):
    """Another recording of this attempt is kept already."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has ended, and what is known of its recording.

    `state` and `sha256` are those of the row, None where there is none.
    """

    attempt_id: str
    recording_id: str
    case_id: str
    operator: str
    callee: str
    outcome: str | None
    answered_at: datetime | None
    ended_at: datetime
    state: str | None
    sha256: str | None

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.ended_at - self.answered_at).total_seconds() if self.answered_at else 0.0

    @property
    def path(self) -> str:
        """Where its recording is, below the directory of recordings: by the local day on which it ended."""
        return f"{local(self.ended_at):%Y/%m/%d}/{self.recording_id}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A recording in the store; `fault` says what is wrong with the sound, where something is."""

    call: Call
    digest: Digest
    format: str
    seconds: float
    fault: str | None


class Keeper:
    """Puts recordings into the store below `root`."""

    def __init__(self, vault: Vault, root: Path) -> None:
        self._vault = vault
        self._root = root

    def keep(self, taken: Taken, call: Call, now: datetime) -> Kept | None:
        """Store a recording and return what is stored; None when nothing was said, and nothing is stored.

        Doing it again changes nothing. Raises NotYet, Changed, Differs, and Unfaithful or OSError when the
        store cannot take it.
        """
        age = now.timestamp() - max(taken.written_at, call.ended_at.timestamp())
        wav, fault = _judge(taken, call)
        unheard = fault == "empty" and call.seconds < _UNHEARD_SECONDS
        settling = _UNHEARD_SETTLING_SECONDS if unheard else SETTLING_SECONDS
        if fault in {"length", "empty", "no_wav"} and age < settling:
            raise NotYet(fault)
        if unheard:
            taken.check_unchanged()
            return None
        digest = self._stored(taken, call)
        taken.check_unchanged()
        return Kept(
            call, digest, wav.format if wav else "unknown", round(wav.seconds, 3) if wav else 0.0, fault
        )

    def _stored(self, taken: Taken, call: Call) -> Digest:
        path = self._root / call.path
        if call.sha256 is not None:
            # The row was committed and the file not deleted: it must be the same sound, or it is nobody's.
            found = Digest(taken.size, taken.sha256())
            if found.sha256 != call.sha256:
                raise Differs
            try:
                if self._vault.digest(path, call.recording_id) == found:
                    return found
            except (VaultBroken, FileNotFoundError):
                pass  # the store lost it, and the spool still has it
        written = self._vault.write(path, taken.rewind(), call.recording_id)
        try:
            faithful = self._vault.digest(path, call.recording_id) == written
        except VaultBroken as error:
            raise Unfaithful(str(error)) from error
        if not faithful:
            raise Unfaithful("read back otherwise than written")
        return written


def _judge(taken: Taken, call: Call) -> tuple[Wav | None, str | None]:
    try:
        wav = read_header(taken.head(), taken.size)
    except WavFault as fault:
        return None, fault.reason
    if not wav.whole:
        return wav, "length"
    if call.answered_at is None or call.outcome == "unknown":
        return wav, None  # when such a call ended is not known either
    return wav, length_fault(wav, call.seconds)
