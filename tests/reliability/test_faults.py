"""The fault matrix measures what it says: which notices count, which rows run, and what a cut line does."""

import asyncio
import contextlib

import pytest

from tests.reliability.blows import BLOWS
from tests.reliability.cut_lines import CutLines
from tests.reliability.faults import Row, broken, chosen, first_notices
from tests.support.receivers import Got


def got(channel: str, at: float, notice: str, kind: str = "fault.opened") -> Got:
    return Got(channel, at, notice, kind, "redis", "")


@pytest.mark.parametrize(
    ("arrived", "old", "first"),
    [
        # the first of the desk's channels counts
        ([got("sms", 3.0, "a"), got("push", 4.0, "a")], set(), 3.0),
        # the supervisor is not the desk
        ([got("supervisor_email", 1.0, "<a@x>"), got("push", 4.0, "a")], set(), 4.0),
        # a late notice of the row before, on whichever channel, is not of this one
        ([got("email", 1.0, "<a@x>"), got("push", 4.0, "b")], {"a"}, 4.0),
        # another kind of notice
        ([got("push", 1.0, "a", "fault.recovered")], set(), None),
        ([], set(), None),
    ],
)
def test_the_first_new_notice_at_the_desk_counts(
    arrived: list[Got], old: set[str], first: float | None
) -> None:
    assert first_notices(arrived, "fault.opened", old).get("redis") == first


@pytest.mark.parametrize(
    ("only", "rows"),
    [
        ("", list(range(len(BLOWS)))),
        ("1", [0]),
        ("redis", [8, 9]),
        ("Redis, 1", [0, 8, 9]),
        ("all at once", [len(BLOWS) - 1]),
    ],
)
def test_rows_are_chosen_by_part_or_number(only: str, rows: list[int]) -> None:
    assert chosen(only) == [BLOWS[row] for row in rows]


def test_a_row_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="mysql"):
        chosen("1,mysql")


def test_what_was_missed_late_or_not_measured_is_broken() -> None:
    rows = [
        Row(BLOWS[0], fault=[29.9], recovery=[1.0]),
        Row(BLOWS[1], fault=[30.1], recovery=[1.0]),
        Row(BLOWS[2], missed=1),
        Row(BLOWS[3], failed="no root"),
    ]
    assert [line.partition(":")[0] for line in broken(rows)] == [
        "outbound SIGSTOP",
        "outbound SIGKILL",
        "movecar SIGSTOP",
    ]


async def test_over_a_cut_line_nothing_passes_nothing_is_reset_and_nothing_is_lost() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()
        over.release()

    over = asyncio.Semaphore(0)
    async with await asyncio.start_server(echo, "127.0.0.1") as server:
        with CutLines() as lines:
            port = lines.to(server.sockets[0].getsockname()[1])
            assert lines.to(server.sockets[0].getsockname()[1]) == port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"before")
            assert await reader.readexactly(6) == b"before"
            lines.cut()
            writer.write(b"during")
            late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
            late_writer.write(b"late")
            answers = [
                asyncio.create_task(reader.readexactly(6)),
                asyncio.create_task(late_reader.readexactly(4)),
            ]
            done, _ = await asyncio.wait(answers, timeout=0.2)
            assert not done
            lines.mend()
            async with asyncio.timeout(60):
                assert await asyncio.gather(*answers) == [b"during", b"late"]
            for one in (writer, late_writer):
                one.close()
                await one.wait_closed()
                await over.acquire()
