"""Whatever text reaches the console, it stays text."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from services.common.service import Process
from services.outbound.incidents import open_incident
from tests.support.cases import recording_of
from tests.support.running import Client
from tests.web.browser import card
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script>&lt;b&gt;${7*7}\u2028\u202e'
# Fields the page compares, counts with or puts in an address; every other text is replaced.
_KEPT = frozenset({"id", "status", "next", "plate_color", "role", "csrf_token"})


def poisoned(value: Any, name: str = "") -> Any:
    """Return a document as a broken or captured server might send it: every free text is hostile."""
    match value:
        case dict():
            return {key: poisoned(item, key) for key, item in value.items()}
        case list():
            return [poisoned(item, name) for item in value]
        case str() if name not in _KEPT and not name.endswith("_at"):
            return HOSTILE
    return value


async def poison(page: Page) -> None:
    """Replace the text in every answer the page gets from now on."""

    async def answer(route: Route) -> None:
        response = await route.fetch()
        body = poisoned(await response.json())
        await route.fulfill(response=response, body=json.dumps(body))

    async def end(route: Route) -> None:
        await route.fulfill(status=200, body="", content_type="text/event-stream")

    # The streams would bring the true text back.
    for path in ("events", "feed/stream*"):
        await page.route(f"**/api/v1/{path}", end)
    for path in (
        "cases?*",
        "cases",
        "cases/*/history",
        "feed/snapshot",
        "escalations?*",
        "escalations/*/ack",
        "escalations/*/chain",
        "recordings?*",
        "incidents?*",
        "faults?*",
        "faults/maintenance",
        "faults/*/notices",
        "no-machine-calls?*",
        "call-records/**",
        "trunks",
        "call-scripts?*",
        "call-scripts/*",
    ):
        await page.route(f"**/api/v1/{path}", answer)


async def is_unharmed(page: Page) -> None:
    assert await page.evaluate("window.hit") is None
    assert await page.locator("img, script:not([src^='/console/']), b").count() == 0


async def test_hostile_text_is_shown_as_text_everywhere_at_the_operator(operator: Page, api: Client) -> None:
    await api.post("/cases", {"plate": "苏D10005", "location": "甲", "requester_phone": "13912345678"})
    await expect(card(operator, "苏D10005")).to_contain_text("已转110")
    await poison(operator)
    await operator.reload()
    case = operator.get_by_role("article")
    await expect(case).to_contain_text('<img src=x onerror="window.hit=1">')
    await case.get_by_role("button", name="案件记录").click()
    await expect(operator.locator(".history")).to_contain_text("<script>window.hit=1</script>")
    await operator.keyboard.press("Escape")
    await case.get_by_role("button", name="撤销").click()
    await expect(operator.get_by_role("dialog")).to_contain_text("<img src=x")
    await operator.keyboard.press("Escape")
    await operator.get_by_role("button", name="查询", exact=True).click()
    await expect(operator.locator("tbody")).to_contain_text("<img src=x")
    await is_unharmed(operator)


async def test_hostile_text_is_shown_as_text_everywhere_at_the_desk(desk: Page, api: Client) -> None:
    await api.post("/cases", {"plate": "苏D10005", "location": "甲", "requester_phone": "13912345678"})
    await expect(card(desk, "苏D10005")).to_contain_text("未签收")
    await poison(desk)
    await desk.reload()
    escalation = desk.get_by_role("article")
    await expect(escalation).to_contain_text('<img src=x onerror="window.hit=1">')
    await escalation.get_by_text("催办经过").click()
    await expect(escalation.locator(".chain")).to_contain_text("尚未催办")
    await escalation.get_by_role("button", name="登记处置结果").click()
    await expect(desk.get_by_role("dialog")).to_contain_text("<img src=x")
    await desk.keyboard.press("Escape")
    await escalation.get_by_role("button", name="签收").click()
    await expect(desk.get_by_role("region", name="处置中")).to_contain_text("<img src=x")
    await is_unharmed(desk)


async def test_hostile_text_is_shown_as_text_on_the_pages_of_who_supervises(
    open_page: OpenPage, product: Process, api: Client
) -> None:
    page = await open_page("sup1")
    status, case = await api.post(
        "/cases", {"plate": "苏D10005", "location": "甲", "requester_phone": "13912345678"}
    )
    assert status == 201
    await expect(card(page, "苏D10005")).to_contain_text("已转110")
    await recording_of(api, case["id"])
    await api.post(f"/cases/{case['id']}/no-machine-calls", {"note": "甲"})
    async with Client(product.address) as supervisor:
        supervisor.become(product, "supervisor")
        await supervisor.post("/faults", {"component": "pbx", "reason": "甲"})
        plan = {"from": "2098-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
        await supervisor.post("/faults/maintenance", plan | {"component": "pbx", "note": "甲"})
    async with product.kernel.database.transaction() as session:
        now = product.kernel.clock.now()
        await open_incident(session, "toll_fraud", "甲", now, detail={HOSTILE: {"x": HOSTILE}, "reason": "x"})
    await poison(page)
    await page.reload()
    await expect(page.locator(".fault-news").first).to_contain_text("<img src=x")
    for name in ("录音", "异常", "故障", "勿呼名单", "线路", "话术"):
        await page.get_by_role("button", name=name, exact=True).click()
        await expect(page.locator("tbody tr").first).to_contain_text("<img src=x")
        await is_unharmed(page)
    await page.get_by_role("button", name="查看").click()
    await expect(page.locator(".drawer .history")).to_contain_text("<img src=x")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="故障", exact=True).click()
    await expect(page.locator(".plans")).to_contain_text("<img src=x")
    await page.get_by_role("button", name="查看").first.click()
    await expect(page.locator(".drawer .notices")).to_contain_text("<img src=x")
    await is_unharmed(page)


async def test_hostile_errors_are_shown_as_text(operator: Page) -> None:
    async def refuse(route: Route) -> None:
        error = {"field": "plate", "message": HOSTILE}
        body = {"title": HOSTILE, "status": 422, "code": "x", "errors": [error], "suggestion": HOSTILE}
        await route.fulfill(status=422, body=json.dumps(body), content_type="application/problem+json")

    await operator.route("**/api/v1/cases", refuse)
    await operator.get_by_label("车牌号").fill("苏D10001")
    await operator.get_by_label("位置").fill("甲")
    await operator.get_by_label("来电号码").fill("13912345678")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_role("button", name="改为")).to_contain_text("<img src=x")
    await is_unharmed(operator)


async def test_a_note_that_looks_like_code_is_kept_word_for_word(operator: Page, api: Client) -> None:
    note = "img src=x onerror=alert(1) javascript:alert(1) %3Cscript%3E [url=x] =HYPERLINK(1)"
    await api.post(
        "/cases", {"plate": "苏D10001", "location": note, "requester_phone": "13912345678", "note": note}
    )
    await expect(card(operator, "苏D10001")).to_contain_text(f"{note} · 来电")
    await is_unharmed(operator)


async def test_elements_are_made_from_text_only(operator: Page) -> None:
    made = await operator.evaluate(
        """async (text) => {
          const { h, setText } = await import("/console/dom.js");
          const element = h("p", { title: text }, text, h("span", {}, text));
          setText(element.lastChild, text + "!");
          return [element.title, element.textContent, element.querySelectorAll("*").length];
        }""",
        HOSTILE,
    )
    assert made == [HOSTILE, HOSTILE + HOSTILE + "!", 1]


@pytest.mark.parametrize(
    "sink",
    [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
        "document.write('<b>x</b>')",
        "document.createElement('script').text = 'window.hit = 1'",
        "new DOMParser().parseFromString('<b>x</b>', 'text/html')",
        "setTimeout('window.hit = 1')",
        "trustedTypes.createPolicy('own', { createHTML: (text) => text })",
    ],
)
async def test_the_browser_itself_refuses_to_turn_text_into_markup_or_code(
    browser: Browser, product: Process, sink: str
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"http://{product.address}/")
    refused = await page.evaluate(f"() => {{ try {{ {sink}; return ''; }} catch (e) {{ return e.name; }} }}")
    assert refused in ("TypeError", "EvalError")
    await context.close()


async def test_no_other_site_may_frame_the_page_or_be_sent_its_forms(open_page: OpenPage) -> None:
    page = await open_page("op1")
    response = await page.reload()
    assert response is not None
    headers = response.headers
    policy = headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
