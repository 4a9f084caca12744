"""The same checks as on the sandbox, with the product's own client, on real Asterisk."""

from collections.abc import Awaitable, Callable

import pytest

from deploy.stack.asterisk import Asterisk
from deploy.stack.seats import Seats
from services.common.ami import Address, AmiLink
from tests.contract.telephony import WANTED, Line, every_check, open_line

pytestmark = pytest.mark.timeout(180)


@every_check
async def test_asterisk_keeps_the_contract(
    asterisk_server: Asterisk, seats: Seats, check: Callable[[Line], Awaitable[None]]
) -> None:
    assert seats.child.running
    settings = asterisk_server.settings
    link = AmiLink(
        Address(settings.ami_host, settings.ami_port), settings.ami_user, settings.ami_secret, wanted=WANTED
    )
    async with open_line(link, ring_seconds=5, deadline=60) as line:
        await check(line)
