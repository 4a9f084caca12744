"""Two real escalation processes: what the page of faults and the command `pair status` say of them."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from services.movecar.app import build_with_neighbours
from tests.support.machines import pair, until_heard
from tests.support.running import serving
from tests.web.browser import WINDOW, Watch, demo_settings, log_in

pytestmark = pytest.mark.asyncio(loop_scope="session")

TALKING = re.compile(r"双机：主机正在通知110接警台；对端（备机）正常，\d 秒前有消息。")
SILENT = re.compile(r"双机：主机正在通知110接警台；对端无联系（.+）。")


async def says(page: Page, text: re.Pattern[str], place: str = ".machines") -> None:
    """Read the page of faults anew until this is said there."""
    async with asyncio.timeout(60):
        while not text.search(await page.locator(place).inner_text()):
            async with page.expect_response("**/faults?*"):
                await page.get_by_role("button", name="刷新").click()
            await asyncio.sleep(0.2)


async def test_page_and_command_tell_a_pair_that_talks_from_one_whose_other_machine_is_silent(
    tmp_path: Path, browser: Browser
) -> None:
    async with pair(tmp_path) as (two, _):
        here = demo_settings(tmp_path, escalation_listen=two.active.address, outbound_listen="127.0.0.1:9")
        async with serving(here, [build_with_neighbours]) as process:
            watch = Watch({process.address})
            page = await browser.new_page(viewport=WINDOW, locale="zh-CN")
            watch.on(page)
            await log_in(page, process.address, "sup1")
            await page.get_by_role("button", name="故障", exact=True).click()
            await says(page, TALKING)
            said, other = await asyncio.gather(
                *(machine.command("pair", "status") for machine in (two.active, two.standby))
            )
            assert re.search(r"本机：主机，正在通知\n对端：备机，正常，[\d.]+ 秒前有消息", said)
            assert "本机：备机，值守，由对端通知" in other

            await two.standby.kill()
            await says(page, SILENT)
            said, other = await asyncio.gather(
                two.active.command("pair", "status", status=1),
                two.standby.command("pair", "status", status=2),
            )
            assert re.search("本机：主机，正在通知\n对端：无联系（.+）", said)
            assert "没有运行" in other
            # The supervisor is told, and sees it among the faults.
            await says(page, re.compile("双机对端"), "tbody")

            await two.standby.start()
            await until_heard(two.active, heard=True)
            await says(page, TALKING)
            # The one that the page asks is gone: that is said, and nothing of before.
            await two.active.kill()
            await says(page, re.compile("未能读取双机状态：110接警服务暂时不可用，请稍后重试"))
            assert watch.wrong == []
            await page.close()
