"""Two escalation processes, killed, frozen and parted for real: the desk is told, at worst twice (C4)."""

import asyncio
import io
import signal
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.escalation.faults.pair.identity import SLOT_SECONDS
from services.escalation.faults.pair.messages import MAX_BYTES, headers, write
from services.escalation.faults.pair.pair import Pair
from services.escalation.faults.records import Duty
from tests.support.escalation import Escalation, neighbour
from tests.support.machines import CHANNELS, Two, pair, until_heard
from tests.support.receivers import Receivers, receiving
from tests.support.running import SECRET as KEY


def copies(desk: Receivers, kind: str, component: str) -> Counter[tuple[str, str]]:
    """How often each notice of this type about a part came to the desk on each channel."""
    got = [one for one in desk.got if one.channel in CHANNELS]
    return Counter((one.channel, one.id) for one in got if (one.type, one.component) == (kind, component))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_the_standby_tells_of_what_happens_while_the_active_one_is_gone_and_nothing_twice(
    how: signal.Signals, tmp_path: Path
) -> None:
    async with pair(tmp_path) as (two, desk):
        await desk.until_told("fault.opened", "database", *CHANNELS)
        desk.refusing |= set(CHANNELS)
        async with aiohttp.ClientSession() as http, http.get(f"http://{two.standby.address}/readyz") as ready:
            assert "peer" not in (await ready.json())["warnings"]
        status, _ = await two.active.ask(
            "POST", "/faults", "supervisor", {"component": "registry", "reason": "省厅平台无应答"}
        )
        assert status == 201
        await known(two.standby, "registry")
        await two.active.kill(how)
        desk.refusing.clear()
        # Owed by the one that is gone, told by the other.
        await desk.until_told("fault.opened", "registry", *CHANNELS, seconds=30)
        assert "双机对端" in await _missed(two.standby)
        if how == signal.SIGSTOP:
            await two.active.kill(signal.SIGCONT)
        else:
            await two.active.ended()
            await two.active.start()
        await until_heard(two.active, heard=True)
        await until_heard(two.standby, heard=True)
        fault = await known(two.active, "registry")
        await two.active.ask("POST", f"/faults/{fault}/recover", "supervisor", {})
        await desk.until_told("fault.recovered", "registry", *CHANNELS)
        # The desk was told once of each, except of what was under way when it was stopped or frozen.
        worst = 2 if how == signal.SIGSTOP else 1
        for kind in ("fault.opened", "fault.recovered"):
            told = copies(desk, kind, "registry")
            assert len(told) == len(CHANNELS)
            assert max(told.values()) <= worst
        # That the active one was away was the supervisor's business, not the desk's.
        assert not copies(desk, "fault.opened", "escalation")


async def _missed(machine: Escalation) -> str:
    """Return what a machine says of the other one once it misses it."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"http://{machine.address}/readyz") as ready:
                if said := (await ready.json())["warnings"].get("peer"):
                    return str(said)
            await asyncio.sleep(0.1)


async def known(machine: Escalation, component: str) -> str:
    """Return the id of a part's fault once a machine knows of it."""
    async with asyncio.timeout(30):
        while True:
            _, page = await machine.ask("GET", f"/faults?component={component}", "desk")
            if page["items"]:
                return str(page["items"][0]["id"])
            await asyncio.sleep(0.1)


async def test_apart_both_tell_by_one_id_and_when_they_meet_the_double_is_counted(tmp_path: Path) -> None:
    async with receiving() as desk:
        two = Two(tmp_path, desk)
        try:
            async with neighbour(two.movecar):
                await two.start()
                for line in two.lines:
                    line.cut()
                for machine in (two.active, two.standby):
                    await until_heard(machine, heard=False)
                # Both find the same last good moment within two seconds: away from the edge of a slot.
                while not 3 <= time.time() % SLOT_SECONDS <= SLOT_SECONDS - 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
            both = 2 * len(CHANNELS)
            await desk.until(lambda _: copies(desk, "fault.opened", "movecar").total() >= both)
            told = copies(desk, "fault.opened", "movecar")
            assert set(told.values()) == {2}
            assert len(told) == len(CHANNELS)
            for line in two.lines:
                line.mend()
            await until_heard(two.active, heard=True)
            await until_heard(two.standby, heard=True)
            fault = await known(two.active, "movecar")
            async with asyncio.timeout(30):
                while True:
                    _, page = await two.active.ask("GET", f"/faults/{fault}/notices", "supervisor")
                    if [one["copies"] for one in page["items"] if one["channel"] in CHANNELS] == [2, 2, 2]:
                        break
                    await asyncio.sleep(0.1)
            async with neighbour(two.movecar):
                await desk.until_told("fault.recovered", "movecar", *CHANNELS)
                await refused_and_nothing_changed(two.standby)
            assert set(copies(desk, "fault.recovered", "movecar").values()) == {1}
        finally:
            await two.close()


async def refused_and_nothing_changed(machine: Escalation) -> None:
    """Whatever a stranger brings to the address that is the other machine's."""
    secret = Keys.from_secret(KEY).derive("escalation-peer").hex()
    clock = SystemClock()
    stranger = Pair("active", clock)
    now = clock.now()
    stranger.owe([Duty("f-fault-desk", "f", "fault", "desk", now, now)])
    raw = write(stranger.say())
    signed = headers(secret, raw, now)
    cases = {
        (401, "invalid_signature"): (raw, headers("a guess", raw, now)),
        (401, "stale_message"): (raw, headers(secret, raw, now - timedelta(minutes=2))),
        (422, "invalid_message"): (b"{}", headers(secret, b"{}", now)),
        (413, "body_too_large"): (b" " * (MAX_BYTES + 1), signed),
    }
    async with aiohttp.ClientSession() as http:
        for (status, code), (body, given) in cases.items():
            async with http.post(
                f"http://{machine.address}/peer", data=io.BytesIO(body), headers=given
            ) as answer:
                assert (answer.status, (await answer.json())["code"]) == (status, code)
        async with http.get(f"http://{machine.address}/peer") as answer:
            assert answer.status == 405
    _, found = await machine.ask("GET", "/faults/pair", "desk")
    assert found["heard"]
    assert found["other_role"] == "active"
    status, _ = await machine.ask("GET", "/faults/" + "f" * 32, "desk")
    assert status == 404
