"""What the desk sees when nobody there answers."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.running import Client
from tests.web.browser import card
from tests.web.conftest import OpenPage
from tests.web.test_operator import open_case

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def overrides() -> dict[str, Any]:
    # The sandbox's desk line is not answered: its number ends in 7.
    return {"ack_remind": 1, "ack_call": 1, "ack_again": 10, "dispose_within": 1}


async def test_an_emergency_is_on_top_and_says_so_whatever_came_after_it(desk: Page, api: Client) -> None:
    for plate, reason in (("苏D76543", "emergency_help"), ("苏D76544", "traffic_violation")):
        case = await open_case(api, plate)
        await api.post(f"/cases/{case['id']}/escalate", {"reason": reason, "note": ""})
        await expect(card(desk, plate)).to_be_visible()
    waiting = desk.get_by_role("region", name="未签收").get_by_role("article")
    await expect(waiting.nth(0)).to_contain_text("特急")
    await expect(waiting.nth(0)).to_contain_text("紧急求助")
    await expect(waiting.nth(1)).to_contain_text("交通违法")
    await expect(desk).to_have_title("(2) 特急 未签收 · 114 挪车")


async def test_reminders_are_told_and_their_chain_can_be_read(
    desk: Page, operator: Page, open_page: OpenPage, api: Client
) -> None:
    await open_case(api, "苏D10005")
    escalation = card(desk, "苏D10005")
    await expect(escalation).to_contain_text("电话催办，仍未签收")
    await escalation.get_by_text("催办经过").click()
    chain = escalation.locator(".chain")
    await expect(chain).to_contain_text("屏幕提醒")
    await expect(chain).to_contain_text("电话呼叫接警台")
    await expect(chain).to_contain_text("下一步：已报班长")
    await card(operator, "苏D10005").get_by_role("button", name="案件记录").click()
    history = operator.locator(".history")
    await expect(history).to_contain_text("110未签收，屏幕提醒")
    await expect(history).to_contain_text("110未签收，电话催办")
    supervisor = await open_page("sup1")
    await card(supervisor, "苏D10005").get_by_role("button", name="案件记录").click()
    await supervisor.get_by_role("dialog").get_by_text("催办经过").click()
    await expect(supervisor.locator(".chain")).to_contain_text("电话呼叫接警台")


async def test_what_was_taken_over_and_not_dealt_with_comes_back_and_says_whose_it_was(
    desk: Page, api: Client
) -> None:
    await open_case(api, "苏D10005")
    escalation = card(desk, "苏D10005")
    await escalation.get_by_label("处警民警").fill("张警官")
    await escalation.get_by_role("button", name="签收").click()
    waiting = desk.get_by_role("region", name="未签收")
    await expect(waiting).to_contain_text("逾期未处置，重新上报")
    await expect(waiting).to_contain_text("曾由 张警官 签收")
    await desk.reload()
    await expect(waiting).to_contain_text("逾期未处置，重新上报")
