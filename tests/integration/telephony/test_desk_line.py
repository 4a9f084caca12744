"""The desk's line on a real switch: its own number, its own caller ID, and the key that confirms (B1, C3)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from services.common.ami import Address, AmiLink
from services.common.ami.actions import LITTLE
from services.common.clock import SystemClock
from services.common.ids import new_id
from services.escalation.desk_calls.line import EVENT_NAMES, DeskLine, Outcome
from services.escalation.desk_calls.speech import escalation_words

WORDS = escalation_words("emergency_help", "苏D1")
DEADLINE = 60.0


@pytest.fixture(scope="module")
def switches(server_home: Path, owners: Owners, quick_prompts: Path) -> Iterator[dict[str, Asterisk]]:
    """A switch for each kind of person at the desk: the owners' table by the last digit of the line."""
    started: dict[str, Asterisk] = {}

    def switch(digit: str) -> Asterisk:
        if digit not in started:
            started[digit] = Asterisk(
                server_home / f"desk{digit}",
                prompts=quick_prompts,
                trunk_uri=owners.uri,
                key_wait=1,
                desk_number=f"05198199732{digit}",
            )
            started[digit].start()
        return started[digit]

    class _Lazily(dict[str, Asterisk]):
        def __missing__(self, digit: str) -> Asterisk:
            return switch(digit)

    yield _Lazily()
    for running in started.values():
        running.stop()


@asynccontextmanager
async def line_to(switch: Asterisk) -> AsyncIterator[DeskLine]:
    settings = switch.settings
    address = Address(settings.ami_host, settings.ami_port)
    link = AmiLink(address, settings.ami_user, settings.ami_secret, wanted=EVENT_NAMES, classes=LITTLE)
    line = DeskLine([link], SystemClock(), "114")
    running = asyncio.create_task(line.run())
    try:
        async with asyncio.timeout(DEADLINE):
            while not line.connected:  # noqa: ASYNC110 - the link has no event for it
                await asyncio.sleep(0.01)
        yield line
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_calls_are_heard_one_after_the_other_and_at_once(switches: dict[str, Asterisk]) -> None:
    """The connection hears of calls only while one of ours is under way: no end may close another's ears."""
    async with line_to(switches["1"]) as line, asyncio.timeout(DEADLINE):
        first, second = asyncio.create_task(line.call(new_id(), WORDS)), line.call(new_id(), WORDS)
        assert [(await first).outcome, (await second).outcome] == ["acknowledged", "acknowledged"]
        both = await asyncio.gather(line.call(new_id(), WORDS), line.call(new_id(), WORDS))
        assert [answer.outcome for answer in both] == ["acknowledged", "acknowledged"]


@pytest.mark.parametrize(
    ("digit", "outcome"),
    [
        ("1", "acknowledged"),  # answers, presses 1
        ("6", "busy"),
        ("8", "failed"),  # declines
        ("9", "not_confirmed"),  # answers and hangs up at once
    ],
)
async def test_the_desks_key_is_heard_and_nothing_else_confirms(
    switches: dict[str, Asterisk], digit: str, outcome: Outcome
) -> None:
    async with line_to(switches[digit]) as line, asyncio.timeout(DEADLINE):
        answer = await line.call(new_id(), WORDS)
    assert answer.outcome == outcome
    assert (answer.key == "1") == (outcome == "acknowledged")


async def test_the_desk_is_never_called_from_the_owners_number(
    switches: dict[str, Asterisk], owners: Owners
) -> None:
    async with line_to(switches["1"]) as line, asyncio.timeout(DEADLINE):
        await line.call(new_id(), WORDS)
    called = [invite for invite in owners.invites() if invite.called == "051981997321"]
    assert called
    for invite in called:
        assert invite.caller == "114"
        assert "0519110" not in invite.identities
