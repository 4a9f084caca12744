from collections.abc import AsyncIterator

import pytest

from services.common.ami import Address, AmiLink, Timing
from services.common.clock import SystemClock
from services.outbound.sandbox import SandboxPbx
from tests.contract.telephony import WANTED, Line, open_line

USER = "movecar"
SECRET = "sandbox secret"


@pytest.fixture
async def sandbox() -> AsyncIterator[SandboxPbx]:
    async with SandboxPbx(USER, SECRET, SystemClock(), speed=100) as sandbox:
        yield sandbox


@pytest.fixture
async def line(sandbox: SandboxPbx) -> AsyncIterator[Line]:
    link = AmiLink(
        Address("127.0.0.1", sandbox.port),
        USER,
        SECRET,
        wanted=WANTED,
        timing=Timing(first_retry=0.01, last_retry=0.05),
    )
    async with open_line(link, ring_seconds=30, deadline=10) as line:
        yield line
