"""The contract board: how each clause stands, and the way to its proof."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from services.common.service import Process
from services.outbound.incidents import open_incident
from tests.support.receivers import receiving
from tests.support.running import Client
from tests.web.browser import PASSWORD, WINDOW, demo_settings, everything, log_in
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


def clause(page: Page, name: str) -> Locator:
    return page.locator("article.clause").filter(has=page.locator(f"#clause-{name}"))


async def come_to_the_board(page: Page) -> None:
    await page.get_by_role("button", name="合同看板").click()
    await expect(page.locator("article.clause")).to_have_count(5)


async def test_nothing_is_claimed_without_evidence_and_what_happens_is_shown_with_its_proof(
    open_page: OpenPage, product: Process
) -> None:
    page = await open_page("sup1")
    await come_to_the_board(page)
    for name in ("B4", "B8", "C2", "C3", "C4"):
        await expect(clause(page, name)).to_contain_text("暂无证据")
    await expect(clause(page, "C4")).to_contain_text("没有应发的通知，也没有完成的演练")

    async with product.kernel.database.transaction() as session:
        await open_incident(session, "call_without_attempt", "chan-1", product.kernel.clock.now())
    async with Client(product.address) as supervisor:
        await supervisor.log_in("sup1", PASSWORD)
        _, fault = await supervisor.post("/faults", {"component": "registry", "reason": "省厅平台无应答"})
        note = {"channel": "phone", "note": "已电话告知接警台李警官"}
        assert (await supervisor.post(f"/faults/{fault['id']}/notices", note))[0] == 201
    await page.get_by_role("button", name="刷新").click()
    await expect(clause(page, "B4")).to_contain_text("已违约")
    await expect(clause(page, "B4")).to_contain_text("1 起呼叫没有对应的案件")
    # The desk was told by a person, in time; the way there was never rehearsed.
    await expect(clause(page, "C4")).to_contain_text("需注意")
    await expect(clause(page, "C4")).to_contain_text("从未演练过故障通知")
    await expect(page.locator(".verdict")).to_contain_text("已违约 1 项")

    await clause(page, "C4").get_by_role("button", name="故障与通知").click()
    await expect(page.locator("tbody")).to_contain_text("省厅平台无应答")
    # What the auditor is shown, the auditor can check, and change none of it.
    auditor = await open_page("aud1")
    await come_to_the_board(auditor)
    await clause(auditor, "C4").get_by_role("button", name="最近一次演练").click()
    await expect(auditor.locator("tbody")).to_contain_text("省厅平台无应答")
    await expect(auditor.get_by_role("button", name="登记故障")).to_have_count(0)


async def test_a_board_that_cannot_be_read_shows_nothing_of_another_moment(open_page: OpenPage) -> None:
    page = await open_page("aud1")
    await come_to_the_board(page)

    async def refuse(route: Route) -> None:
        body = '{"title": "系统暂时不可用，请稍后重试", "status": 503, "code": "temporarily_unavailable"}'
        await route.fulfill(status=503, body=body, content_type="application/problem+json")

    await page.route("**/api/v1/contract", refuse)
    await page.get_by_role("button", name="刷新").click()
    await expect(page.get_by_text("未能读取合同看板：系统暂时不可用")).to_be_visible()
    await expect(page.locator("article.clause")).to_have_count(0)


async def test_a_drill_that_was_delivered_is_on_the_board(tmp_path: Path, browser: Browser) -> None:
    async with receiving() as desk:
        drills = {
            "drill_push_url": desk.environment["MOVECAR_DESK_PUSH_URL"],
            "desk_push_secret": desk.environment["MOVECAR_DESK_PUSH_SECRET"],
        }
        async with everything(demo_settings(tmp_path, **drills)) as process:
            async with Client(process.address) as supervisor:
                await supervisor.log_in("sup1", PASSWORD)
                _, drill = await supervisor.post("/faults/drills", {"component": "database"})
                await desk.until_told("fault.opened", "database", "push")
                await supervisor.post(f"/faults/{drill['id']}/recover", {})
                await desk.until_told("fault.recovered", "database", "push")
            page = await browser.new_page(viewport=WINDOW, locale="zh-CN")
            await log_in(page, process.address, "sup1")
            await come_to_the_board(page)
            while "通知均按时送达" not in await clause(page, "C4").inner_text():  # the proof is being written
                await page.get_by_role("button", name="刷新").click()
                await expect(clause(page, "C4")).to_be_visible()
            await expect(clause(page, "C4")).to_contain_text("履行中")
            await expect(clause(page, "C4")).to_contain_text("数据库（演练通道）")
            await page.close()
