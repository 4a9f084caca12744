"""Take the pictures of docs/images anew: `python -m tests.web.screenshots` (needs a font with Chinese)."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page

from tests.support.running import Client
from tests.web.browser import PASSWORD, WINDOW, demo_settings, everything, launched, log_in
from tests.web.test_scripts import attach as attach_notice
from tests.web.test_scripts import fill as fill_draft

IMAGES = Path(__file__).parents[2] / "docs" / "images"
_CASES: tuple[dict[str, Any], ...] = (
    {"plate": "苏D10005", "location": "湖塘镇花园街12号门口", "situation": "堵住车库出入口"},
    {"plate": "苏D10009", "location": "常武中路18号地面停车场"},
    {"plate": "苏D10006", "location": "武宜路吾悦广场B1层", "note": "来电人赶去医院，比较着急"},
    {"plate": "苏D76543", "location": "牛塘镇人民路口", "situation": "前车挡住无法驶出"},
    {"plate": "苏D10001", "location": "夏城中路聚湖路口东北角"},
)


async def _open_cases(address: str) -> None:
    async with Client(address) as operator:
        await operator.log_in("op1", PASSWORD)
        for number, case in enumerate(_CASES):
            status, answer = await operator.post("/cases", case | {"requester_phone": f"1391234567{number}"})
            if status != 201:
                raise RuntimeError(f"{case['plate']}: {answer}")


async def _shoot(page: Page, name: str) -> None:
    await page.mouse.move(0, 0)
    await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


async def _others(browser: Browser, address: str) -> None:
    """Photograph pages of the supervisor's, and the administrator's."""
    supervisor = await (await browser.new_context(viewport=WINDOW, locale="zh-CN")).new_page()
    await log_in(supervisor, address, "sup1")
    await supervisor.get_by_role("button", name="录音", exact=True).click()
    await supervisor.get_by_role("button", name="听录音").first.click()
    await supervisor.locator("audio").wait_for()
    await _shoot(supervisor, "recordings")
    await supervisor.get_by_role("button", name="合同看板").click()
    await supervisor.locator("article.clause").last.wait_for()
    await _shoot(supervisor, "contract")

    admin = await (await browser.new_context(viewport=WINDOW, locale="zh-CN")).new_page()
    await log_in(admin, address, "adm1")
    await fill_draft(admin)
    await attach_notice(admin)
    await admin.get_by_text("待批准").wait_for()
    await admin.locator("tbody tr").first.get_by_role("button", name="查看").click()
    await admin.get_by_text("起草人不能自己批准").wait_for()
    await _shoot(admin, "scripts")


async def main() -> None:
    """Run a demo, let something happen, photograph it."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        settings = demo_settings(Path(directory), sandbox_speed=20, reconcile_after=1)
        async with everything(settings) as process, launched() as browser:
            await _open_cases(process.address)

            operator = await (await browser.new_context(viewport=WINDOW, locale="zh-CN")).new_page()
            await log_in(operator, process.address, "op2")
            await operator.get_by_text("同意挪车").wait_for()
            await operator.get_by_text("占线").wait_for()
            await operator.get_by_text("接听后挂断").wait_for()
            await operator.get_by_text("110未签收").wait_for()
            await operator.get_by_label("车牌号").fill("苏D1OOO3")
            await operator.get_by_label("位置").fill("花园街88号")
            await operator.get_by_label("来电号码").fill("13912345678")
            await operator.keyboard.press("Enter")
            await operator.get_by_role("button", name="改为 苏D10003").wait_for()
            await _shoot(operator, "operator")

            desk = await (await browser.new_context(viewport=WINDOW, locale="zh-CN")).new_page()
            await log_in(desk, process.address, "desk1")
            async with Client(process.address) as other:
                await other.log_in("op1", PASSWORD)
                _, page = await other.get("/cases", params={"status": "attention"})
                await other.post(
                    f"/cases/{page['items'][0]['id']}/escalate",
                    {"reason": "emergency_lane", "note": "消防通道被占，物业已到场"},
                )
                _, page = await other.get("/cases", params={"plate": "苏D10009"})
                await other.post(
                    f"/cases/{page['items'][0]['id']}/escalate", {"reason": "traffic_violation", "note": ""}
                )
            await desk.get_by_role("heading", name="占用应急通道").wait_for()
            await desk.get_by_label("处警民警").last.fill("张警官 020123")
            await desk.get_by_role("button", name="签收").last.click()
            await desk.get_by_role("region", name="处置中").get_by_text("张警官 020123").wait_for()
            async with Client(process.address) as supervisor:
                await supervisor.log_in("sup1", PASSWORD)
                _, fault = await supervisor.post(
                    "/faults", {"component": "registry", "reason": "省厅平台无应答"}
                )
            await desk.locator(".fault-news").wait_for()
            await desk.get_by_text("催办经过").first.click()
            await desk.get_by_text("下一步").wait_for()
            await _shoot(desk, "desk")
            async with Client(process.address) as supervisor:
                await supervisor.log_in("sup1", PASSWORD)
                note = {"channel": "phone", "note": "电话告知接警台李警官，已知悉"}
                await supervisor.post(f"/faults/{fault['id']}/notices", note)
                await supervisor.post(f"/faults/{fault['id']}/recover", {})
                await desk.locator(".fault-news").get_by_text("已恢复").wait_for()
            await _others(browser, process.address)


if __name__ == "__main__":
    asyncio.run(main())
