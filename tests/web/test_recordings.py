"""Listening to calls, where the role may."""

from typing import Any

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.support.cases import recording_of
from tests.support.running import Client
from tests.web.browser import card
from tests.web.conftest import OpenPage
from tests.web.test_operator import open_case

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLAYED = "(player) => !player.error && player.currentTime > 0 && player.duration"


async def dispute(api: Client) -> dict[str, Any]:
    return await open_case(api, "苏D10005")


def heard(page: Page) -> list[str]:
    """Return the sounds the page asks for from now on."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/audio"):
            asked.append(request.url)

    page.on("request", note)
    return asked


async def plays(page: Page) -> None:
    await expect(page.locator("audio")).to_have_count(1)
    handle = await page.locator("audio").element_handle()
    await page.wait_for_function(PLAYED, arg=handle)


async def test_the_desk_listens_to_a_call_of_its_case_and_only_when_it_asks_to(
    desk: Page, api: Client
) -> None:
    asked = heard(desk)
    await dispute(api)
    listen = card(desk, "苏D10005").get_by_role("button", name="听录音")
    await expect(listen).to_be_visible()
    assert asked == []
    await listen.click()
    await plays(desk)
    # News of the case does not interrupt who listens.
    await card(desk, "苏D10005").get_by_role("button", name="签收").click()
    await expect(card(desk, "苏D10005")).to_contain_text("已签收")
    await plays(desk)


async def test_recordings_are_found_by_case_played_and_taken_along(
    open_page: OpenPage, operator: Page, api: Client
) -> None:
    case = await dispute(api)
    for called in (case, await open_case(api, "苏D10001")):
        await recording_of(api, called["id"])
    page = await open_page("sup1")
    file = card(page, "苏D10005").get_by_role("button", name="案件记录")
    await file.click()
    await expect(page.get_by_role("dialog").get_by_role("button", name="听录音")).to_be_visible()
    await page.get_by_role("dialog").get_by_role("button", name="听录音").click()
    await plays(page)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="录音", exact=True).click()
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(2)
    await page.get_by_label("案件号").fill(case["number"].lower())
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(1)
    await rows.get_by_role("button", name="听录音").click()
    await plays(page)
    async with page.expect_download() as download:
        await rows.get_by_role("link", name="下载").click()
    assert (await (await download.value).path()).read_bytes()[:4] == b"RIFF"
    await page.get_by_label("被叫号码").fill("12")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("被叫号码")).to_have_attribute("aria-invalid", "true")
    await page.get_by_label("被叫号码").fill("")
    await page.get_by_label("案件号").fill("YC20200101000001")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("没有符合条件的录音")).to_be_visible()
    # Operators hear none.
    await card(operator, "苏D10005").get_by_role("button", name="案件记录").click()
    await expect(operator.get_by_role("dialog")).to_contain_text("有异议")
    await expect(operator.get_by_role("button", name="听录音")).to_have_count(0)


async def test_a_recording_that_cannot_be_played_says_why(desk: Page, api: Client) -> None:
    async def refuse(route: Route) -> None:
        body = (
            '{"title": "录音文件损坏，已记录，请联系系统管理员", "status": 500, "code": "recording_damaged"}'
        )
        await route.fulfill(status=500, body=body, content_type="application/problem+json")

    await desk.route("**/audio", refuse)
    await dispute(api)
    escalation = card(desk, "苏D10005")
    await escalation.get_by_role("button", name="听录音").click()
    await expect(escalation).to_contain_text("录音文件损坏，已记录，请联系系统管理员")
    await expect(escalation.get_by_role("button", name="听录音")).to_be_focused()
