"""Playing a recording: decrypted as it is sent, in constant memory, and never seen unaudited (B8)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import structlog
from aiohttp import web

from services.common.clock import Clock
from services.common.database import Database
from services.common.http.endpoint import Answer, Call, Nothing
from services.common.http.problems import Problem, not_found
from services.common.vault import SealedFile, Vault, VaultBroken
from services.movecar.audit import audit
from services.movecar.metrics import RECORDINGS_UNREADABLE
from services.movecar.recordings.catalogue import at_the_desk, find_recording
from services.movecar.recordings.models import Recording
from services.movecar.recordings.ranges import Part, Unsatisfiable, read_range

log = structlog.get_logger(__name__)

PLAYED = "recording.played"
_TITLES = {
    "missing": "录音文件缺失，已记录，请联系系统管理员",
    "damaged": "录音文件损坏，已记录，请联系系统管理员",
}


class Audio:
    """Serves the sound of recordings that are stored below `root`."""

    def __init__(self, database: Database, clock: Clock, vault: Vault, root: Path) -> None:
        self._database = database
        self._clock = clock
        self._vault = vault
        self._root = root

    async def play(self, call: Call[Nothing, Nothing]) -> Answer | web.StreamResponse:
        """Answer with a recording, or the range of it that is asked for."""
        async with self._database.reading() as session:
            recording = await find_recording(session, call.path("id"))
            if recording is not None and call.principal.role == "desk":
                # The desk hears what it has to act on, and of no other call that there is one.
                recording = recording if await at_the_desk(session, recording.case_id) else None
        if recording is None:
            raise not_found("该录音")
        request = call.request
        etag = f'"{recording.sha256}"'
        head = {
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "Cache-Control": "no-store",
            "Content-Disposition": f'inline; filename="{recording.id}.wav"',
        }
        await self._audit(call, recording)
        part = None
        if request.method == "GET":
            try:
                part = read_range(
                    request.headers.get("Range"), request.headers.get("If-Range"), etag, recording.size
                )
            except Unsatisfiable:
                raise Problem(
                    416,
                    "range_not_satisfiable",
                    "请求的范围超出录音长度",
                    headers=head | {"Content-Range": f"bytes */{recording.size}"},
                ) from None
        file = await asyncio.to_thread(self._open, recording)
        try:
            return await self._send(request, recording, file, part, head)
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))

    async def _audit(self, call: Call[Nothing, Nothing], recording: Recording) -> None:
        detail = {"range": call.request.headers["Range"][:100]} if "Range" in call.request.headers else {}
        async with self._database.transaction() as session:
            await audit(
                session,
                self._clock.now(),
                call.principal,
                call.request,
                PLAYED,
                recording.id,
                method=call.request.method,
                case=recording.case_id,
                **detail,
            )

    def _open(self, recording: Recording) -> SealedFile:
        """Open the file. Raises Problem 500 when the store does not have it as it was."""
        try:
            file = self._vault.open(self._root / recording.path, recording.id)
        except FileNotFoundError:
            raise _unreadable(recording, "missing") from None
        except (VaultBroken, OSError) as error:
            raise _unreadable(recording, "damaged", repr(error)) from None
        if file.size != recording.size:
            file.close()
            raise _unreadable(recording, "damaged", "another size")
        return file

    async def _send(
        self,
        request: web.Request,
        recording: Recording,
        file: SealedFile,
        part: Part | None,
        head: dict[str, str],
    ) -> web.StreamResponse:
        whole = part or Part(0, recording.size)
        response = web.StreamResponse(status=206 if part else 200, headers=head)
        if part:
            response.headers["Content-Range"] = part.content_range(recording.size)
        response.content_type = "audio/wav"
        response.content_length = whole.length
        blocks = file.read(whole.start, whole.length)
        # The first one is read before anything is answered: damage there can still be told.
        block = await asyncio.to_thread(_next, blocks, recording) if request.method == "GET" else None
        await response.prepare(request)
        try:
            while block is not None:
                await response.write(block)
                block = await asyncio.to_thread(_next, blocks, recording)
        except ConnectionError:
            log.info("recording_reader_gone", recording=recording.id)
        except Problem:
            # The answer has begun: cutting it off is all that can still be said.
            if request.transport is not None:
                request.transport.abort()
        else:
            await response.write_eof()
        return response


def _next(blocks: Iterator[bytes], recording: Recording) -> bytes | None:
    try:
        return next(blocks, None)
    except (VaultBroken, OSError) as error:
        raise _unreadable(recording, "damaged", repr(error)) from None


def _unreadable(recording: Recording, what: str, error: str = "") -> Problem:
    RECORDINGS_UNREADABLE.labels(what).inc()
    log.error("recording_unreadable", recording=recording.id, what=what, error=error)
    titles = {
        "missing": "录音文件缺失，已记录，请联系系统管理员",
        "damaged": "录音文件损坏，已记录，请联系系统管理员",
    }
    return Problem(500, f"recording_{what}", titles[what])
