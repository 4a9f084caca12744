"""One recording from the spool into the store: judged, sealed, read back. Blocking; no database here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from services.common.clock import local
from services.common.vault import Digest, Draft, Vault, VaultBroken, synchronise
from services.outbound.recordings.spool import Changed, Taken
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


@dataclass(frozen=True, slots=True)
class Begun:
    """A recording that is sealed and not yet safe: `Keeper.finish` makes it `kept`."""

    taken: Taken
    draft: Draft
    kept: Kept


class Keeper:
    """Puts recordings into the store below `root`: `begin` one after the other, `finish` many together."""

    def __init__(self, vault: Vault, root: Path) -> None:
        self._vault = vault
        self._root = root

    def begin(self, taken: Taken, call: Call, now: datetime) -> Begun | Kept | None:
        """Seal a recording; Kept when it is in the store already, None when nothing was said.

        Doing it again changes nothing. Raises NotYet, Changed and Differs, and OSError when the store cannot
        take it.
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
        path = self._root / call.path
        stored = self._stored(path, taken, call)
        form, seconds = (wav.format, round(wav.seconds, 3)) if wav else ("unknown", 0.0)
        if stored is not None:
            taken.check_unchanged()
            return Kept(call, stored, form, seconds, fault)
        draft = self._vault.draft(path, taken.rewind(), call.recording_id)
        return Begun(taken, draft, Kept(call, draft.digest, form, seconds, fault))

    def finish(self, begun: Sequence[Begun]) -> tuple[list[Kept], list[OSError | Unfaithful]]:
        """Make recordings safe and read them back; return what is kept, and what went wrong with others.

        A recording whose file was written to meanwhile is in neither.
        """
        kept: list[Kept] = []
        failures: list[OSError | Unfaithful] = []
        for one in self._placed(begun, failures):
            try:
                self._read_back(one)
                one.taken.check_unchanged()
            except Changed:
                continue
            except (OSError, Unfaithful) as error:
                failures.append(error)
            else:
                kept.append(one.kept)
        return kept, failures

    def _placed(self, begun: Sequence[Begun], failures: list[OSError | Unfaithful]) -> list[Begun]:
        placed = list(begun)
        for step in (Draft.sync, Draft.move):
            for one in list(placed):
                try:
                    step(one.draft)
                except OSError as error:
                    failures.append(error)
                    placed.remove(one)
        try:
            for directory in {one.draft.path.parent for one in placed}:
                synchronise(directory)
        except OSError as error:
            failures.append(error)
            return []
        return placed

    def _stored(self, path: Path, taken: Taken, call: Call) -> Digest | None:
        """Return what is in the store of a recording that has a row: its file was not deleted after that."""
        if call.sha256 is None:
            return None
        found = Digest(taken.size, taken.sha256())
        if found.sha256 != call.sha256:
            raise Differs  # it must be the same sound, or it is nobody's
        try:
            return found if self._vault.digest(path, call.recording_id) == found else None
        except (VaultBroken, FileNotFoundError):
            return None  # the store lost it, and the spool still has it

    def _read_back(self, one: Begun) -> None:
        try:
            found = self._vault.digest(one.draft.path, one.kept.call.recording_id)
        except VaultBroken as error:
            raise Unfaithful(str(error)) from error
        if found != one.draft.digest:
            raise Unfaithful("read back otherwise than written")


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
