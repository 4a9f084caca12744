"""Call scripts: one person drafts, another approves."""

import struct
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Page, expect

from services.common.clock import local
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

GREETING = "您好，这是公安110挪车服务专线，请问{plate}是您的车吗？"


def picture() -> bytes:
    """Return a whole PNG file of one grey dot."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")


async def fill(page: Page, *, caller_id: str = "0519110", greeting: str = GREETING) -> None:
    """Fill the draft in, all but the scan."""
    await page.get_by_role("button", name="起草新话术").click()
    dialog = page.get_by_role("dialog")
    # It begins with what is in force.
    await expect(dialog.get_by_label("主叫号码")).to_have_value("0519110")
    await dialog.get_by_label("主叫号码").fill(caller_id)
    await dialog.get_by_label("问候语").fill(greeting)
    await dialog.get_by_label("通知文号").fill("武公指〔2026〕12号")
    today = local(datetime.now(UTC))
    await dialog.get_by_label("通知日期").fill(f"{today:%Y-%m-%d}")
    await dialog.get_by_label("生效时间").fill(f"{today + timedelta(days=7):%Y-%m-%d}T08:00")


async def attach(page: Page, name: str = "通知.png", content: bytes | None = None) -> None:
    await page.get_by_label("通知扫描件").set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": picture() if content is None else content}
    )
    await page.get_by_role("button", name="提交草稿").click()


async def test_a_script_is_drafted_by_one_approved_by_another_and_its_notice_can_be_seen(
    open_page: OpenPage,
) -> None:
    author, other = await open_page("adm1"), await open_page("adm2")
    await expect(author.locator("tbody tr")).to_contain_text("使用中")
    await fill(author)
    await expect(
        author.get_by_text("听起来：您好，这是公安110挪车服务专线，请问苏D12345是您的车吗")
    ).to_be_visible()
    await author.get_by_role("button", name="提交草稿").click()
    await expect(author.get_by_text("请选择通知的扫描件")).to_be_visible()
    await attach(author)
    await expect(author.get_by_role("dialog")).to_be_hidden()
    mine = author.locator("tbody tr").first
    await expect(mine).to_contain_text("待批准")
    await mine.get_by_role("button", name="查看").click()
    await expect(author.get_by_text("起草人不能自己批准")).to_be_visible()
    await expect(author.get_by_role("button", name="批准", exact=True)).to_have_count(0)

    await other.get_by_role("button", name="刷新").click()
    await expect(other.locator("tbody tr").first).to_contain_text("待批准")
    await other.locator("tbody tr").first.get_by_role("button", name="查看").click()
    drawer = other.locator(".drawer")
    scan = drawer.get_by_role("img", name="武公指〔2026〕12号")
    await expect(scan).to_have_js_property("naturalWidth", 1)
    async with other.expect_download() as download:
        await drawer.get_by_role("link", name="下载扫描件").click()
    assert (await (await download.value).path()).read_bytes() == picture()
    await drawer.get_by_role("button", name="批准", exact=True).click()
    await other.get_by_role("button", name="已核对，批准").click()
    await expect(drawer).to_contain_text("待生效")
    await expect(drawer.locator(".history")).to_contain_text("批准")
    await expect(other.locator("tbody tr").first).to_contain_text("待生效")


async def test_what_cannot_be_filed_or_approved_is_refused_with_the_reason(open_page: OpenPage) -> None:
    author, other = await open_page("adm1"), await open_page("adm2")
    await fill(author, caller_id="0519114", greeting="您好, 是车主吗?")
    await expect(author.get_by_text("还没有 {plate}")).to_be_visible()
    await attach(author, "通知.doc")
    await expect(author.get_by_text("只接受 PDF、PNG 或 JPEG 文件")).to_be_visible()
    await attach(author, content=b"\x89PNG\r\n\x1a\n half of it")
    await expect(author.get_by_text("问候语必须包含且只包含一次 {plate}")).to_be_visible()
    # Half-width marks are taken as Chinese ones.
    await author.get_by_label("问候语").fill("您好, 是{plate}车主吗?")
    await attach(author)
    await expect(author.get_by_role("dialog")).to_be_hidden()
    await expect(author.locator("tbody tr").first).to_contain_text("您好， 是{plate}车主吗？")

    await other.get_by_role("button", name="刷新").click()
    await expect(other.locator("tbody tr").first).to_contain_text("待批准")
    await other.locator("tbody tr").first.get_by_role("button", name="查看").click()
    await other.get_by_role("button", name="批准", exact=True).click()
    await other.get_by_role("button", name="已核对，批准").click()
    await expect(other.get_by_text("话务系统未配置此主叫号码，不能批准")).to_be_visible()
    await other.get_by_role("button", name="取消").click()
    await other.get_by_role("button", name="驳回").click()
    await other.get_by_label("驳回原因").fill("主叫号码不对")
    await other.keyboard.press("Enter")
    drawer = other.locator(".drawer")
    await expect(drawer).to_contain_text("已驳回")
    await expect(drawer.locator(".history")).to_contain_text("主叫号码不对")


async def test_supervisors_and_auditors_read_scripts_and_change_none(open_page: OpenPage) -> None:
    for username in ("sup1", "aud1"):
        page = await open_page(username)
        await page.get_by_role("button", name="话术", exact=True).click()
        await expect(page.locator("tbody tr")).to_contain_text("使用中")
        await expect(page.get_by_role("button", name="起草新话术")).to_have_count(0)
        await page.get_by_role("button", name="查看").click()
        await expect(page.locator(".drawer")).to_contain_text("随合同备案")
