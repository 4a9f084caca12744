"""Driving cases through the API as an operator would."""

import asyncio
from collections.abc import Container
from typing import Any

from tests.support.running import Client

REQUESTER = "13912345678"


def new_case(plate: str = "苏D10001", **fields: Any) -> dict[str, Any]:
    """Return the body that opens a case."""
    return {"plate": plate, "location": "湖塘镇花园街12号", "requester_phone": REQUESTER} | fields


async def until(
    client: Client, case_id: str, wanted: str | Container[str], seconds: float = 60
) -> dict[str, Any]:
    """Return a case once its status is (one of) `wanted`."""
    statuses = {wanted} if isinstance(wanted, str) else wanted
    case: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                _, case = await client.get(f"/cases/{case_id}")
                if case["status"] in statuses:
                    return dict(case)
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"the case did not reach {wanted}: {case}") from None


async def open_until(
    client: Client, plate: str, wanted: str | Container[str], seconds: float = 60
) -> dict[str, Any]:
    """Open a case, or join the open one of the plate, and return it once its status is (one of) `wanted`."""
    status, case = await client.post("/cases", new_case(plate))
    if status not in {200, 201}:
        raise AssertionError(f"{plate} was not opened: {status} {case}")
    return await until(client, case["id"], wanted, seconds)


async def recording_of(client: Client, case_id: str, attempt_id: str | None = None) -> str:
    """Return the recording of a case's attempt (of any, unless given), there a moment after the call."""
    async with asyncio.timeout(60):
        while True:
            _, case = await client.get(f"/cases/{case_id}")
            for attempt in case["attempts"]:
                if attempt["recording_id"] and attempt_id in {None, attempt["id"]}:
                    return str(attempt["recording_id"])
            await asyncio.sleep(0.05)
