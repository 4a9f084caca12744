"""Faults across the desk's page, and the page of faults, notices and planned work."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from services.common.service import Process
from tests.support.running import Client
from tests.web.browser import PASSWORD
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_faults(page: Page) -> None:
    await page.get_by_role("button", name="故障", exact=True).click()
    await expect(page.get_by_role("button", name="刷新")).to_be_visible()


async def test_a_fault_is_across_the_desk_s_page_until_it_is_over_and_its_notice_is_proved(
    desk: Page, open_page: OpenPage
) -> None:
    supervisor = await open_page("sup1")
    await open_faults(supervisor)
    await expect(supervisor.get_by_text("没有符合条件的故障")).to_be_visible()
    await supervisor.get_by_role("button", name="登记故障").click()
    dialog = supervisor.get_by_role("dialog")
    await dialog.get_by_role("button", name="登记故障").click()
    await expect(dialog.get_by_text("请选择部件")).to_be_visible()
    await dialog.get_by_label("部件").select_option("registry")
    await dialog.get_by_label("原因").fill("平台无应答")
    await supervisor.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()

    banner = desk.locator(".fault-news")
    await expect(banner).to_contain_text("故障：车辆登记信息查询")
    await expect(banner).to_contain_text("平台无应答")
    await expect(banner).to_contain_text("前通知110")
    await open_faults(desk)
    await expect(desk.locator("tbody tr")).to_contain_text("故障中")
    await expect(desk.get_by_role("button", name="登记故障")).to_have_count(0)

    await supervisor.get_by_role("button", name="查看").click()
    drawer = supervisor.locator(".drawer")
    await expect(drawer.locator(".notices")).to_contain_text("110接警台 · 故障通知")
    await drawer.get_by_role("button", name="登记人工通知").click()
    given = supervisor.get_by_role("dialog", name="登记人工通知")
    await given.get_by_label("电话").check()
    await given.get_by_label("通知情况").fill("电话告知李警官，已知悉")
    await supervisor.keyboard.press("Enter")
    await expect(drawer.locator(".notices")).to_contain_text("电话告知李警官，已知悉")
    await drawer.get_by_role("button", name="登记恢复").click()
    await supervisor.get_by_role("button", name="确认已恢复").click()
    await expect(drawer).to_contain_text("已恢复")

    await expect(banner).to_contain_text("已恢复：车辆登记信息查询")
    await expect(desk.locator("tbody tr")).to_contain_text("已恢复")
    await banner.get_by_role("button", name="知道了").click()
    await expect(banner).to_have_count(0)


async def test_the_open_page_is_the_proof_that_the_desk_was_told_and_a_recovery_follows_at_once(
    desk: Page, product: Process
) -> None:
    async with Client(product.address) as supervisor:
        await supervisor.log_in("sup1", PASSWORD)
        _, fault = await supervisor.post("/faults", {"component": "registry", "reason": "平台无应答"})
        await expect(desk.locator(".fault-news")).to_contain_text("平台无应答")
        await supervisor.post(f"/faults/{fault['id']}/recover", {})
        # Nothing else is in the feed that would prove it: the page itself says what it has shown.
        await expect(desk.locator(".fault-news")).to_contain_text("已恢复：车辆登记信息查询")
        async with asyncio.timeout(30):
            while True:
                _, page = await supervisor.get(f"/faults/{fault['id']}/notices")
                told = {one["kind"]: one for one in page["items"] if one["channel"] == "feed"}
                if all(told[kind]["status"] == "delivered" for kind in ("fault", "recovery")):
                    break
                await asyncio.sleep(0.2)
        assert told["recovery"]["by"] == "desk1"


async def test_a_fault_from_before_is_across_the_page_after_a_reload(desk: Page, product: Process) -> None:
    async with Client(product.address) as supervisor:
        supervisor.become(product, "supervisor")
        status, _ = await supervisor.post("/faults", {"component": "pbx", "reason": "断电"})
        assert status == 201
    await expect(desk.locator(".fault-news")).to_contain_text("电话交换机")
    await desk.reload()
    await expect(desk.locator(".fault-news")).to_contain_text("断电")


async def test_planned_work_is_announced_and_listed(open_page: OpenPage, desk: Page) -> None:
    supervisor = await open_page("sup1")
    await open_faults(supervisor)
    await supervisor.get_by_role("button", name="公告维护").click()
    dialog = supervisor.get_by_role("dialog")
    await dialog.get_by_label("部件").select_option("database")
    await dialog.get_by_label("从").fill("2099-01-01T02:00")
    await dialog.get_by_label("到").fill("2099-01-01T01:00")
    await dialog.get_by_role("button", name="公告").click()
    await expect(dialog.get_by_text("应晚于开始时间")).to_be_visible()
    await dialog.get_by_label("到").fill("2099-01-01T04:00")
    await dialog.get_by_role("button", name="公告").click()
    await expect(supervisor.get_by_role("region", name="计划维护")).to_contain_text(
        "2099-01-01 02:00:00 至 2099-01-01 04:00:00"
    )
    await expect(desk.locator(".fault-news")).to_contain_text("数据库计划于")


@pytest.mark.parametrize(
    ("type_", "data", "shown"),
    [
        # what is known, and fields that are not
        ("fault.opened", {"fault_id": "a", "title": "数据库", "shape": {"x": [1]}}, "故障：数据库"),
        # hardly anything is known
        ("fault.opened", {}, "故障：未知部件"),
        ("fault.recovered", {"fault_id": "a", "component": "x", "seconds": "long"}, "已恢复：x"),
        # a type of a later version
        ("fault.relocated", {"text": "机房已切换"}, "机房已切换"),
        ("fault.relocated", {"text": {"x": 1}, "title": "机房"}, "机房"),
    ],
)
async def test_faults_of_another_version_do_not_break_the_page(
    desk: Page, type_: str, data: dict[str, Any], shown: str
) -> None:
    item = {"seq": 1, "type": type_, "id": "1", "occurred_at": "2026-04-01T08:00:00+08:00", "data": data}

    async def stream(route: Route) -> None:
        await route.fulfill(
            status=200, body=f"id: 1\ndata: {json.dumps(item)}\n\n", content_type="text/event-stream"
        )

    await desk.route("**/feed/stream*", stream)
    await desk.reload()
    await expect(desk.locator(".fault-news").first).to_contain_text(shown)
    await expect(desk.get_by_text("目前没有待签收的事件。")).to_be_visible()
