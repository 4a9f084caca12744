"""Moves finished recordings from the PBX's spool into the store, and misses those that do not come (B8).

Sealed, read back, committed, and only then deleted from the spool: wherever it is killed, the next run does
the same again, to the same file and the same row.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import structlog
from sqlalchemy import select

from services.common.clock import Clock
from services.common.database import Database, is_outage
from services.outbound.incidents import close_incident, open_incident
from services.outbound.metrics import RECORDINGS, RECORDINGS_WAITING
from services.outbound.models import Incident
from services.outbound.recordings.catalogue import Catalogue
from services.outbound.recordings.keeper import Begun, Call, Differs, Keeper, Kept, NotYet, Unfaithful
from services.outbound.recordings.spool import Changed, Listing, Spool, Strange, Taken

log = structlog.get_logger(__name__)

STALLED: Final = "recordings_stalled"
FOREIGN: Final = "recording_foreign"
MISSING_AFTER: Final = timedelta(seconds=30)
"""How long after the end of a call its recording may be on its way to the spool."""
_LOOK_SECONDS: Final = 1.0
_ACCOUNT_SECONDS: Final = 5.0
_LOOK_BACK: Final = timedelta(hours=1)
_ACCOUNT_ALL_SECONDS: Final = 3600.0
"""How often calls that ended longer ago are accounted for: what was found out about them late."""
_BATCH: Final = 32
_HANDS: Final = 2
"""Files worked on at a time: the work waits for the disk."""
_ALL_FAIL: Final = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT})
_FIRST_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 60.0
_MAX_FOREIGN: Final = 50
"""Incidents about foreign files that one spool may have open: it may be filled with anything."""


class Stalled(Exception):
    """Recordings cannot be stored or fetched; the message is the operating system's."""


class _Work:
    """What a batch came to. Files stay taken until `close`."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}
        self.kept: list[Kept] = []
        self.silent: list[Call] = []
        self.strange: dict[str, str] = {}
        self.failure: OSError | Unfaithful | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether the next file would fail as this one did."""
        return isinstance(self.failure, OSError) and self.failure.errno in _ALL_FAIL

    def close(self) -> None:
        for taken in self.taken.values():
            taken.close()


class Collector:
    """Looks after one spool. `place` names spool and machine in the subjects of incidents."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        catalogue: Catalogue,
        keeper: Keeper,
        spool: Spool,
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._catalogue = catalogue
        self._keeper = keeper
        self._spool = spool
        self._look_seconds = look_seconds
        self.place = _code(f"{socket.gethostname()}:{spool.directory.absolute()}")[:8]
        self._foreign: dict[str, str] | None = None
        """Subject → reason of the files that are known not to be ours; None until they were loaded."""
        self._stalled = True  # an earlier run may have left it so
        self._account_at = 0.0
        self._account_all_at = 0.0

    async def run(self) -> None:
        """Collect for ever. What fails is tried again after a growing pause; nothing is given up."""
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                await self.collect()
            except Stalled as error:
                log.error("recordings_stalled", error=str(error))  # noqa: TRY400
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("recordings_wait", error=repr(error))
            else:
                wait = _FIRST_WAIT_SECONDS
                await self._clock.sleep(self._look_seconds)
                continue
            await self._clock.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def collect(self) -> int:
        """Look once: store what is finished, account for what is not there; return how many were settled.

        Raises Stalled when store or spool cannot be used, after an incident was opened about it.
        """
        try:
            listing = await asyncio.to_thread(self._spool.listing)
        except OSError as error:
            raise await self._stalled_by(error) from error
        strange = dict.fromkeys(listing.strangers, "name")
        waiting: list[Call] = []
        if listing.attempts:
            async with self._database.reading() as session:
                waiting, unknown = await self._catalogue.calls_of(session, listing.attempts)
            strange |= dict.fromkeys((f"{attempt_id}.wav" for attempt_id in unknown), "no_attempt")
        RECORDINGS_WAITING.set(len(waiting))
        waiting.sort(key=lambda call: call.ended_at)
        settled, failure = 0, None
        for first in range(0, len(waiting), _BATCH):
            work = await self._batch(waiting[first : first + _BATCH])
            settled += len(work.kept) + len(work.silent)
            strange |= work.strange
            failure = work.failure or failure
            if work.is_hopeless:
                break
        await self._tell_strange(strange)
        await self._account(listing)
        if failure is not None:
            raise await self._stalled_by(failure) from failure
        if settled and self._stalled:
            async with self._database.transaction() as session:
                await close_incident(session, STALLED, self.place, self._clock.now())
            self._stalled = False
        return settled

    async def _batch(self, calls: Sequence[Call]) -> _Work:
        work = _Work()
        now = self._clock.now()
        hands = [
            asyncio.ensure_future(asyncio.to_thread(self._keep, work, calls[hand::_HANDS], now))
            for hand in range(_HANDS)
        ]
        try:
            await asyncio.shield(asyncio.gather(*hands))
            await self._commit(work)
            await asyncio.to_thread(self._remove, work)
        finally:
            # A thread cannot be cancelled: its files are let go of when it is through with them.
            await asyncio.wait(hands)
            work.close()
        return work

    def _keep(self, work: _Work, calls: Iterable[Call], now: datetime) -> None:
        """Store recordings (in a thread); what fails leaves its file where it is."""
        begun: list[Begun] = []
        try:
            self._begin(work, calls, now, begun)
        except BaseException:
            for one in begun:
                one.draft.discard()
            raise
        kept, failures = self._keeper.finish(begun)
        work.kept += kept
        if failures:
            work.failure = failures[-1]

    def _begin(self, work: _Work, calls: Iterable[Call], now: datetime, begun: list[Begun]) -> None:
        for call in calls:
            try:
                taken = self._spool.take(call.attempt_id)
                if taken is None:
                    continue
                work.taken[call.attempt_id] = taken
                found = self._keeper.begin(taken, call, now)
            except (NotYet, Changed):
                continue
            except Strange as error:
                work.strange[f"{call.attempt_id}.wav"] = error.reason
            except Differs:
                work.strange[f"{call.attempt_id}.wav"] = "differs"
            except OSError as error:
                work.failure = error
                if work.is_hopeless:
                    return
            else:
                match found:
                    case None:
                        work.silent.append(call)
                    case Kept():
                        work.kept.append(found)
                    case Begun():
                        begun.append(found)

    async def _commit(self, work: _Work) -> None:
        if not (work.kept or work.silent):
            return
        now = self._clock.now()
        async with self._database.transaction() as session:
            fresh = await self._catalogue.settle_kept(session, work.kept, now)
            fresh |= await self._catalogue.settle_silent(session, work.silent, now)
        for state, calls in (
            ("kept", [item.call for item in work.kept if not item.fault]),
            ("damaged", [item.call for item in work.kept if item.fault]),
            ("none", work.silent),
        ):
            RECORDINGS.labels(state).inc(sum(call.attempt_id in fresh for call in calls))

    def _remove(self, work: _Work) -> None:
        """Delete what is stored and committed from the spool (in a thread)."""
        for call in (*(item.call for item in work.kept), *work.silent):
            try:
                work.taken[call.attempt_id].remove()
            except OSError as error:
                work.failure = error

    async def _stalled_by(self, error: OSError | Unfaithful) -> Stalled:
        """Open an incident that says what stands in the way."""
        self._stalled = True
        code = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        async with self._database.transaction() as session:
            await open_incident(session, STALLED, self.place, self._clock.now(), detail={"error": code})
        return Stalled(code)

    async def _tell_strange(self, strange: dict[str, str]) -> None:
        """Open an incident for each file that is no recording of ours, and close those of files that went."""
        if self._foreign is None:
            async with self._database.reading() as session:
                open_ones = await session.scalars(
                    select(Incident.subject).where(
                        Incident.kind == FOREIGN,
                        Incident.closed_at.is_(None),
                        Incident.subject.startswith(f"{self.place}-"),
                    )
                )
                self._foreign = dict.fromkeys(open_ones, "")
        # A name is a stranger's text, and may be a telephone number.
        found = {f"{self.place}-{_code(name)[:16]}": reason for name, reason in sorted(strange.items())}
        gone = self._foreign.keys() - found.keys()
        fresh = [subject for subject in found if subject not in self._foreign]
        fresh = fresh[: max(0, _MAX_FOREIGN - len(self._foreign) + len(gone))]
        if not (gone or fresh):
            return
        now = self._clock.now()
        async with self._database.transaction() as session:
            for subject in fresh:
                await open_incident(session, FOREIGN, subject, now, detail={"reason": found[subject]})
            for subject in sorted(gone):
                await close_incident(session, FOREIGN, subject, now)
        self._foreign = {
            **{subject: reason for subject, reason in self._foreign.items() if subject not in gone},
            **{subject: found[subject] for subject in fresh},
        }

    async def _account(self, listing: Listing) -> None:
        """Settle answered calls that left no file."""
        now = self._clock.monotonic()
        if now < self._account_at:
            return
        self._account_at = now + _ACCOUNT_SECONDS
        until = self._clock.now() - MISSING_AFTER
        async with self._database.reading() as session:
            if now >= self._account_all_at:
                self._account_all_at = now + _ACCOUNT_ALL_SECONDS
                since = await self._catalogue.unaccounted_since(session) or until
            else:
                since = until - _LOOK_BACK
            found = await self._catalogue.unaccounted(session, since, until, listing.attempts)
        missing = [call for call, heard in found if heard]
        silent = [call for call, heard in found if not heard]
        if not found:
            return
        async with self._database.transaction() as session:
            fresh = await self._catalogue.settle_missing(session, missing, self._clock.now())
            fresh |= await self._catalogue.settle_silent(session, silent, self._clock.now())
        for state, calls in (("missing", missing), ("none", silent)):
            RECORDINGS.labels(state).inc(sum(call.attempt_id in fresh for call in calls))


def _code(text: str) -> str:
    return sha256(text.encode(errors="surrogateescape")).hexdigest()
