"""What supervisors and auditors have beside the cases."""

import pytest
from playwright.async_api import Page, expect

from services.common.service import Process
from services.outbound.incidents import open_incident
from tests.support.running import Client
from tests.web.browser import card
from tests.web.conftest import OpenPage
from tests.web.test_operator import open_case, press

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def come_to(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def test_an_incident_is_closed_with_what_was_found_by_a_supervisor_only(
    open_page: OpenPage, product: Process
) -> None:
    async with product.kernel.database.transaction() as session:
        now = product.kernel.clock.now()
        await open_incident(session, "toll_fraud", "acct-1", now, detail={"calls": 90, "unallocated": 40})
    auditor, supervisor = await open_page("aud1"), await open_page("sup1")
    for page in (auditor, supervisor):
        await come_to(page, "异常")
        await expect(page.locator("tbody tr")).to_contain_text("疑似盗打")
        await expect(page.locator("tbody tr")).to_contain_text("空号数：40")
    await expect(auditor.get_by_role("button", name="关闭")).to_have_count(0)
    await supervisor.get_by_role("button", name="关闭").click()
    dialog = supervisor.get_by_role("dialog")
    await dialog.get_by_role("button", name="关闭异常").click()
    await expect(dialog.get_by_text("请写明核查结果")).to_be_visible()
    await dialog.get_by_label("核查结果").fill("属演练")
    await supervisor.keyboard.press("Enter")
    await expect(supervisor.locator("tbody tr")).to_contain_text("属演练")
    await expect(supervisor.locator("tbody tr")).to_contain_text("已关闭")
    await supervisor.get_by_role("button", name="刷新").click()
    await expect(supervisor.get_by_text("没有符合条件的异常")).to_be_visible()


async def test_an_owner_s_wish_is_listed_and_lifted_with_a_reason(
    open_page: OpenPage, operator: Page, api: Client
) -> None:
    await open_case(api, "苏D10001")
    await expect(card(operator, "苏D10001")).to_contain_text("已通知")
    await press(operator, "苏D10001", "勿自动呼叫")
    await operator.get_by_role("dialog").get_by_label("登记原因").fill("车主来电要求")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("dialog")).to_be_hidden()
    page = await open_page("sup1")
    await come_to(page, "勿呼名单")
    row = page.locator("tbody tr")
    await expect(row).to_contain_text("车主来电要求")
    await row.get_by_role("button", name="解除").click()
    await page.get_by_label("解除原因").fill("车主同意恢复")
    await page.keyboard.press("Enter")
    await expect(row).to_contain_text("已解除")
    await expect(row).to_contain_text("车主同意恢复")


async def test_the_calls_of_a_day_are_compared_with_the_switch_s_records(
    open_page: OpenPage, operator: Page, api: Client
) -> None:
    await open_case(api, "苏D10001")
    await expect(card(operator, "苏D10001")).to_contain_text("已通知")
    page = await open_page("aud1")
    await come_to(page, "话单核对")
    await expect(page.locator(".verdict")).to_be_visible()
    await expect(page.get_by_text("交换机呼出")).to_be_visible()
    await page.get_by_label("从").fill("2026-01-01T00:00")
    await page.get_by_label("到").fill("2026-03-01T00:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("时段最长 7 天")).to_be_visible()
    await page.get_by_label("从").fill("2020-01-01T00:00")
    await page.get_by_label("到").fill("2020-01-02T00:00")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("2020-01-01 00:00:00 至 2020-01-02 00:00:00：没有呼叫。")).to_be_visible()


async def test_switches_and_trunks_are_shown_and_what_is_old_is_not(open_page: OpenPage) -> None:
    page = await open_page("sup1")
    await come_to(page, "线路")
    await expect(page.get_by_text("线路可用，可以呼叫。")).to_be_visible()
    await expect(page.get_by_role("table", name="中继").locator("tbody tr")).to_contain_text("正常")
    await page.route("**/api/v1/trunks", lambda route: route.fulfill(status=502, body="x"))
    await page.get_by_role("button", name="刷新").click()
    await expect(page.get_by_text("未能读取线路状态：服务器出错（502）")).to_be_visible()
    await expect(page.get_by_role("table")).to_have_count(0)
