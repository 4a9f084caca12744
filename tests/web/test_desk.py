from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Page, expect

from services.common.service import Process
from tests.support.running import Client
from tests.web.browser import card, enter_case
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITHIN = 2_000
"""Milliseconds in which a state must be on a screen."""


async def open_dispute(api: Client, **fields: str) -> dict[str, Any]:
    body = {"plate": "苏D10005", "location": "花园街12号", "requester_phone": "13912345678"} | fields
    status, case = await api.post("/cases", body)
    assert status == 201
    return dict(case)


async def acknowledge(desk: Page, officer: str) -> None:
    escalation = card(desk, "苏D10005")
    await escalation.get_by_label("处警民警").fill(officer)
    await escalation.get_by_role("button", name="签收").click()


async def test_a_dispute_is_at_the_desk_at_once_and_its_acknowledgement_at_the_operator(
    operator: Page, desk: Page, product: Process
) -> None:
    await enter_case(operator, "苏D10005")
    await expect(card(desk, "苏D10005")).to_contain_text("未签收")
    seen_at = product.kernel.clock.now()
    async with Client(product.address) as client:
        _, listed = await client.become(product, "desk").get("/escalations")
    # Measured from the moment the case changed.
    assert seen_at - datetime.fromisoformat(listed["items"][0]["escalated_at"]) < timedelta(
        milliseconds=WITHIN
    )

    await expect(desk).to_have_title("(1) 未签收 · 114 挪车")
    await expect(desk.get_by_role("region", name="未签收")).to_contain_text("苏D10005")
    await expect(card(operator, "苏D10005")).to_contain_text("110未签收")

    await acknowledge(desk, "张警官")
    await expect(card(operator, "苏D10005")).to_contain_text("已移交", timeout=WITHIN)
    await expect(desk.get_by_role("region", name="处置中")).to_contain_text("签收 张警官", timeout=WITHIN)
    await expect(desk).to_have_title("110接警台 · 114 挪车")


async def test_the_desk_sees_where_what_and_what_was_tried(desk: Page, api: Client) -> None:
    await open_dispute(api, situation="堵住车库出入口", note="来电人赶去医院")
    escalation = card(desk, "苏D10005")
    for text in ("纠纷未解决", "花园街12号", "堵住车库出入口", "来电人赶去医院", "13912345678", "坐席二号"):
        await expect(escalation).to_contain_text(text)
    await expect(escalation.get_by_label("已呼叫车主")).to_contain_text("有异议")
    # The owner's number has no place here, not even masked.
    await expect(escalation).not_to_contain_text("139****")


async def test_a_disposition_needs_a_result_and_closes_the_case_of_the_operator(
    desk: Page, operator: Page, api: Client
) -> None:
    await open_dispute(api)
    await acknowledge(desk, "张警官")
    await card(desk, "苏D10005").get_by_role("button", name="登记处置结果").click()
    dialog = desk.get_by_role("dialog")
    await dialog.get_by_role("button", name="登记并结束").click()
    await expect(dialog.get_by_text("请选择处置结果")).to_be_visible()
    await dialog.get_by_label("车辆已拖离").check()
    await dialog.get_by_label("说明").fill("拖至停车场")
    await desk.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    over = desk.get_by_role("region", name="最近结束")
    await expect(over).to_contain_text("车辆已拖离，拖至停车场")
    await expect(over.get_by_role("button")).to_have_count(0)
    await expect(card(operator, "苏D10005")).to_contain_text("110已处置")


async def test_what_the_operator_withdraws_waits_no_longer_at_the_desk(desk: Page, api: Client) -> None:
    case = await open_dispute(api)
    await expect(desk).to_have_title("(1) 未签收 · 114 挪车")
    await api.post(f"/cases/{case['id']}/withdraw", {"note": ""})
    await expect(desk.get_by_role("region", name="最近结束")).to_contain_text("来电人撤销")
    await expect(desk).to_have_title("110接警台 · 114 挪车")


async def test_two_desks_see_the_same_and_the_slower_one_is_told(
    desk: Page, open_page: OpenPage, api: Client
) -> None:
    other = await open_page("desk1")
    await open_dispute(api)
    await expect(card(other, "苏D10005")).to_contain_text("未签收")
    await acknowledge(desk, "张警官")
    await expect(card(other, "苏D10005")).to_contain_text("签收 张警官")
    await expect(card(other, "苏D10005").get_by_label("处警民警")).to_have_count(0)


async def test_a_reload_shows_what_waits_what_is_in_hand_and_what_is_over(desk: Page, api: Client) -> None:
    await open_dispute(api)
    await acknowledge(desk, "张警官")
    await expect(card(desk, "苏D10005")).to_contain_text("已签收")
    for plate, reason in (("苏D76543", "emergency_lane"), ("苏D76544", "traffic_violation")):
        _, case = await api.post(
            "/cases", {"plate": plate, "location": "花园街12号", "requester_phone": "13912345678"}
        )
        await api.post(f"/cases/{case['id']}/escalate", {"reason": reason, "note": ""})
    await expect(desk).to_have_title("(2) 未签收 · 114 挪车")
    await desk.reload()
    await expect(desk).to_have_title("(2) 未签收 · 114 挪车")
    waiting = desk.get_by_role("region", name="未签收").get_by_role("article")
    # The more urgent first, though the other is newer.
    await expect(waiting.nth(0)).to_contain_text("苏D76543")
    await expect(waiting.nth(0)).to_contain_text("紧急")
    await expect(waiting.nth(1)).to_contain_text("苏D76544")
    await expect(desk.get_by_role("region", name="处置中")).to_contain_text("张警官")


async def test_the_sound_rings_again_and_again_and_stays_off_when_switched_off(
    desk: Page, api: Client
) -> None:
    # There is nothing to hear in a test: what is counted is the notes that were started.
    await desk.evaluate(
        """() => {
          const { start } = OscillatorNode.prototype;
          OscillatorNode.prototype.start = function (...rest) {
            document.body.dataset.notes = Number(document.body.dataset.notes ?? 0) + 1;
            start.apply(this, rest);
          };
        }"""
    )
    sound = desk.get_by_role("button", name="声音")
    # A browser may keep a page silent until it is touched once.
    await desk.get_by_role("heading", level=1).click()
    await expect(sound).to_have_text("声音：开")
    await open_dispute(api)
    await expect(desk.locator("body")).to_have_attribute("data-notes", "2")
    await expect(desk.locator("body")).to_have_attribute("data-notes", "4")
    await sound.click()
    await expect(sound).to_have_text("声音：关")
    await desk.reload()
    await expect(sound).to_have_text("声音：关")
    await sound.click()
    await expect(sound).to_have_text("声音：开")
