import pytest
from playwright.async_api import Page, expect

from tests.support.running import Client
from tests.web.browser import card
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = "一个很长的地名" * 14 + "W" * 60
WIDTHS = (
    (1366, 768),  # the seats' screens
    (390, 844),  # a phone
)


async def fits(page: Page) -> None:
    """Nothing sticks out sideways, and every control has a name."""
    for width, height in WIDTHS:
        await page.set_viewport_size({"width": width, "height": height})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll("input, select, textarea, button")]
                 .filter((control) => !(control.labels?.length || control.textContent.trim()))
                 .map((control) => control.outerHTML)"""
        )
        assert nameless == []


@pytest.mark.parametrize("username", ["op1", "sup1", "adm1", "desk1"])
async def test_every_page_fits_a_seat_and_a_phone(open_page: OpenPage, api: Client, username: str) -> None:
    for plate in ("苏D10005", "苏D76543"):
        body = {"plate": plate, "location": LONG, "requester_phone": "13912345678", "note": LONG}
        status, _ = await api.post("/cases", body)
        assert status == 201
    page = await open_page(username)
    if username != "adm1":
        await expect(card(page, "苏D10005")).to_contain_text("未签收")
    await fits(page)
    if username in ("op1", "sup1"):
        await card(page, "苏D10005").get_by_role("button", name="案件记录").click()
        await expect(page.get_by_role("dialog")).to_contain_text("纠纷未解决")
        await fits(page)
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="查询", exact=True).click()
        await expect(page.locator("tbody tr")).to_have_count(2)
        await fits(page)
    if username != "op1":
        for tab in await page.get_by_role("navigation").get_by_role("button").all():
            await tab.click()
            await fits(page)


async def test_the_log_in_page_fits_too(operator: Page) -> None:
    await operator.get_by_role("button", name="退出").click()
    await expect(operator.get_by_label("用户名")).to_be_focused()
    await fits(operator)


async def test_the_entry_form_is_walked_through_in_the_order_of_the_call(operator: Page) -> None:
    order = []
    for _ in range(8):
        order.append(await operator.evaluate("document.activeElement.name || document.activeElement.type"))
        await operator.keyboard.press("Tab")
    assert order == [
        "plate",
        "location",
        "requester_phone",
        "plate_color",
        "situation",
        "note",
        "mode",
        "submit",
    ]
