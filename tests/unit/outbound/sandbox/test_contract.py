from collections.abc import Awaitable, Callable

from tests.contract.telephony import Line, every_check


@every_check
async def test_sandbox_keeps_the_telephony_contract(
    check: Callable[[Line], Awaitable[None]], line: Line
) -> None:
    await check(line)
