import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from services.common.service import Process
from tests.support.running import Client
from tests.web.browser import PASSWORD, card, enter_case
from tests.web.conftest import OpenPage

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def until(api: Client, plate: str, status: str) -> dict[str, Any]:
    """Return the only case of a plate once it has a status."""
    async with asyncio.timeout(60):
        while True:
            _, found = await api.get("/cases", params={"plate": plate})
            if found["items"] and found["items"][0]["status"] == status:
                (case,) = found["items"]
                return dict(case)
            await asyncio.sleep(0.02)


async def open_case(api: Client, plate: str) -> dict[str, Any]:
    body = {"plate": plate, "location": "花园街12号", "requester_phone": "13912345678"}
    status, case = await api.post("/cases", body)
    assert status == 201
    return dict(case)


async def press(page: Page, plate: str, action: str) -> None:
    await card(page, plate).get_by_role("button", name=action, exact=True).click()


async def test_an_operator_opens_a_case_by_keyboard_alone_and_sees_the_owner_notified(
    operator: Page, api: Client
) -> None:
    # No click, no focus set for her: the page begins in the plate field, which already says 苏D.
    await operator.keyboard.insert_text("10001")
    await operator.keyboard.press("Tab")
    await operator.keyboard.insert_text("花园街12号")
    await operator.keyboard.press("Tab")
    await operator.keyboard.insert_text("13912345678")
    await operator.keyboard.press("Enter")
    case = card(operator, "苏D10001")
    await expect(case).to_contain_text("已通知")
    await expect(case).to_contain_text("同意挪车")
    await expect(case).to_contain_text("后自动结案")
    await expect(operator.locator(".result")).to_contain_text("已建案 YC")
    # Ready for the next call.
    await expect(operator.get_by_label("车牌号")).to_be_focused()
    await expect(operator.get_by_label("车牌号")).to_have_value("苏D")
    await until(api, "苏D10001", "notified")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("10001", "苏D10001"),  # after the local prefix
        ("苏D10001", "苏D10001"),  # the whole plate, though the prefix is there
        ("沪A12345", "沪A12345"),  # from elsewhere
        ("学", "苏D学"),  # no province: still being typed
    ],
)
async def test_the_local_prefix_helps_and_is_never_in_the_way(operator: Page, typed: str, kept: str) -> None:
    field = operator.get_by_label("车牌号")
    await field.focus()
    await operator.keyboard.press("End")
    await operator.keyboard.insert_text(typed)
    await expect(field).to_have_value(kept)


async def test_a_letter_o_is_answered_with_a_suggestion_that_a_person_accepts(operator: Page) -> None:
    await enter_case(operator, "苏D1OOO2")
    await expect(operator.get_by_label("车牌号")).to_have_attribute("aria-invalid", "true")
    await expect(operator.get_by_text("请核对是否为数字0和1")).to_be_visible()
    # Nothing was changed for her; one key takes the suggestion, one sends it.
    await expect(operator.get_by_label("车牌号")).to_have_value("苏D1OOO2")
    await operator.keyboard.press("Tab")
    await expect(operator.get_by_role("button", name="改为 苏D10002")).to_be_focused()
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_label("车牌号")).to_have_value("苏D10002")
    await operator.keyboard.press("Enter")
    await expect(card(operator, "苏D10002")).to_contain_text("已通知")


@pytest.mark.parametrize(
    ("field", "text", "remedy"),
    [
        ("车牌号", "苏D123", "车牌号位数不对"),
        ("车牌号", "", "请输入车牌号"),
        ("位置", "", "请输入车辆所在位置"),
        ("来电号码", "", "请输入来电人的号码"),
        ("来电号码", "81997327", "固定电话请加区号"),
        ("来电号码", "110", "紧急号码和服务短号不能使用"),
        ("来电号码", "+1 202 555 0100", "只受理中国大陆的电话号码"),
    ],
)
async def test_a_mistake_is_named_beside_its_field_with_a_remedy(
    operator: Page, field: str, text: str, remedy: str
) -> None:
    filled = {"车牌号": "苏D10001", "位置": "花园街12号", "来电号码": "13912345678"} | {field: text}
    for name, value in filled.items():
        await operator.get_by_label(name).fill(value)
    await operator.keyboard.press("Enter")
    wrong = operator.get_by_label(field)
    await expect(wrong).to_have_attribute("aria-invalid", "true")
    await expect(wrong).to_be_focused()
    described_by = (await wrong.get_attribute("aria-describedby") or "").split()
    await expect(operator.locator(f"#{described_by[0]}")).to_contain_text(remedy)


async def test_half_width_punctuation_is_taken_as_chinese_punctuation(operator: Page, api: Client) -> None:
    await operator.get_by_label("备注").fill('急, 说"马上"; <快>')
    await enter_case(operator, "苏D10000")
    case = await until(api, "苏D10000", "notified")
    assert case["note"] == "急， 说＂马上＂； ＜快＞"


async def test_a_repeated_request_joins_the_open_case_and_says_so(operator: Page, api: Client) -> None:
    await open_case(api, "苏D10003")
    await enter_case(operator, "苏D10003")
    await expect(operator.get_by_text("已有未结案件（坐席二号")).to_be_visible()
    await expect(operator.get_by_text("不会重复呼叫车主")).to_be_visible()
    await expect(card(operator, "苏D10003")).to_have_count(1)


async def test_a_double_click_opens_one_case(operator: Page, api: Client) -> None:
    await operator.get_by_label("车牌号").fill("苏D10001")
    await operator.get_by_label("位置").fill("花园街12号")
    await operator.get_by_label("来电号码").fill("13912345678")
    await operator.get_by_role("button", name="建案并呼叫车主").dblclick()
    await expect(operator.locator(".result")).to_contain_text("已建案 YC")
    case = await until(api, "苏D10001", "notified")
    _, history = await api.get(f"/cases/{case['id']}/history")
    assert [step["trigger"] for step in history["items"]] == ["opened", "found", "agreed"]


async def test_a_request_whose_answer_was_lost_is_repeated_as_the_same_request(
    operator: Page, api: Client
) -> None:
    keys: list[str] = []

    async def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = await route.fetch()
        if len(keys) == 1:
            await route.abort()
        else:
            await route.fulfill(response=answer)

    await operator.route("**/api/v1/cases", lose_the_first_answer)
    await enter_case(operator, "苏D10001")
    await expect(operator.get_by_text("服务器没有应答，请检查网络后重试")).to_be_visible()
    await operator.keyboard.press("Enter")
    await expect(operator.locator(".result")).to_contain_text("已建案 YC")
    assert keys[0] == keys[1]
    case = await until(api, "苏D10001", "notified")
    _, history = await api.get(f"/cases/{case['id']}/history")
    assert "joined" not in [step["trigger"] for step in history["items"]]


async def test_the_buttons_of_a_notified_case_close_it_or_call_again(operator: Page, api: Client) -> None:
    for plate in ("苏D10001", "苏D10002"):
        await open_case(api, plate)
        await expect(card(operator, plate)).to_contain_text("已通知")
    await press(operator, "苏D10001", "已挪开")
    await expect(card(operator, "苏D10001")).to_contain_text("已结案")
    await expect(operator.get_by_role("region", name="刚刚结束")).to_contain_text("苏D10001")
    await press(operator, "苏D10002", "仍被堵")
    await expect(card(operator, "苏D10002")).to_contain_text("第2次")
    await expect(card(operator, "苏D10002")).to_contain_text("已通知")


async def test_a_case_that_needs_a_person_says_why_and_is_corrected(operator: Page, api: Client) -> None:
    await open_case(api, "苏D76543")
    case = card(operator, "苏D76543")
    await expect(case).to_contain_text("查不到该车，请核对车牌")
    await expect(case).to_contain_text("后自动转110")
    await expect(operator).to_have_title("(1) 待处理 · 114 挪车")
    await press(operator, "苏D76543", "更正车牌")
    dialog = operator.get_by_role("dialog")
    await dialog.get_by_label("车牌号").fill("苏D1OOO1")
    await operator.keyboard.press("Enter")
    await dialog.get_by_role("button", name="改为 苏D10001").click()
    await operator.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(card(operator, "苏D10001")).to_contain_text("已通知")
    await expect(card(operator, "苏D76543")).to_have_count(0)


async def test_where_two_cars_share_a_plate_the_colour_is_asked_for(operator: Page, api: Client) -> None:
    await open_case(api, "苏D88888")
    await expect(card(operator, "苏D88888")).to_contain_text("问清车牌颜色")
    await press(operator, "苏D88888", "更正车牌")
    dialog = operator.get_by_role("dialog")
    await dialog.get_by_role("button", name="更正并重新查询").click()
    await expect(dialog.get_by_text("同号有多辆车，请选择颜色")).to_be_visible()
    await dialog.get_by_label("车牌颜色").select_option(label="蓝牌")
    await dialog.get_by_role("button", name="更正并重新查询").click()
    await expect(dialog).to_be_hidden()
    assert (await until(api, "苏D88888", "notified"))["plate_color"] == "blue"


async def test_a_case_is_handed_to_110_with_a_reason_and_withdrawn_with_a_note(
    operator: Page, api: Client
) -> None:
    await open_case(api, "苏D76543")
    await press(operator, "苏D76543", "转110")
    dialog = operator.get_by_role("dialog")
    await dialog.get_by_role("button", name="转110", exact=True).click()
    await expect(dialog.get_by_text("请选择转110的原因")).to_be_visible()
    await dialog.get_by_label("占用应急通道").check()
    await dialog.get_by_role("button", name="转110", exact=True).click()
    await expect(dialog).to_be_hidden()
    await expect(card(operator, "苏D76543")).to_contain_text("占用应急通道 · 110未签收")
    await press(operator, "苏D76543", "撤销")
    await dialog.get_by_label("撤销原因").fill("车已开走")
    await operator.keyboard.press("Enter")
    await expect(card(operator, "苏D76543")).to_contain_text("已撤销")
    await press(operator, "苏D76543", "案件记录")
    await expect(dialog).to_contain_text("车已开走")


async def test_a_refusal_of_the_server_is_told_with_the_present_state(operator: Page, api: Client) -> None:
    case = await open_case(api, "苏D10001")
    await expect(card(operator, "苏D10001")).to_contain_text("已通知")

    # The news of the other operator's withdrawal is held up; this page still shows 已通知.
    async def withdrawn_meanwhile(route: Route) -> None:
        await api.post(f"/cases/{case['id']}/withdraw", {"note": ""})
        await route.fulfill(response=await route.fetch())

    await operator.route("**/confirm-moved", withdrawn_meanwhile)
    answers: list[str] = []
    operator.on("dialog", lambda dialog: answers.append(dialog.message))
    async with operator.expect_response("**/confirm-moved") as refused:
        await press(operator, "苏D10001", "已挪开")
    assert (await refused.value).status == 409
    await expect(card(operator, "苏D10001")).to_contain_text("已撤销")
    await expect(card(operator, "苏D10001")).to_contain_text("案件当前状态不能执行此操作：现为“已撤销”")
    assert answers == []


async def test_the_file_of_a_case_tells_everything_that_happened_in_chinese(
    operator: Page, api: Client
) -> None:
    await open_case(api, "苏D10005")
    await expect(card(operator, "苏D10005")).to_contain_text("110未签收")
    await press(operator, "苏D10005", "案件记录")
    drawer = operator.get_by_role("dialog")
    for text in ("建案", "查到车主，开始呼叫", "车主有异议", "纠纷未解决", "杨**", "139****0005", "坐席二号"):
        await expect(drawer.get_by_text(text).first).to_be_visible()
    await operator.keyboard.press("Escape")
    await expect(drawer).to_be_hidden()
    focused = card(operator, "苏D10005").get_by_role("button", name="案件记录")
    await expect(focused).to_be_focused()


async def test_search_finds_by_plate_and_pages_through_the_rest(operator: Page, api: Client) -> None:
    for number in range(30):
        await open_case(api, f"苏D3{number:04}")
    await operator.get_by_role("button", name="查询", exact=True).click()
    rows = operator.locator("tbody tr")
    await expect(rows).to_have_count(25)
    await operator.get_by_role("button", name="更多").click()
    await expect(rows).to_have_count(30)
    await expect(operator.get_by_role("button", name="更多")).to_be_hidden()
    await operator.get_by_label("车牌号").fill("苏D30007")
    await operator.keyboard.press("Enter")
    await expect(rows).to_have_count(1)
    await operator.get_by_label("车牌号").fill("")
    await operator.get_by_label("案件号").fill("123")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_text("格式不正确")).to_be_visible()
    await operator.get_by_label("案件号").fill("YC20200101000001")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_text("没有符合条件的案件")).to_be_visible()
    await operator.keyboard.press("F2")
    await expect(operator.get_by_role("button", name="建案并呼叫车主")).to_be_visible()


async def test_times_are_those_of_shanghai_wherever_the_browser_is(operator: Page, api: Client) -> None:
    case = await open_case(api, "苏D10001")
    assert case["created_at"].endswith("+08:00")
    await expect(card(operator, "苏D10001")).to_contain_text(case["created_at"][11:19])


async def test_who_only_reads_sees_cases_without_buttons_and_what_the_role_may_see(
    open_page: OpenPage, api: Client
) -> None:
    await open_case(api, "苏D10001")
    for username, phone in (("sup1", "13912345678"), ("aud1", "139****5678")):
        page = await open_page(username)
        case = card(page, "苏D10001")
        await expect(case).to_contain_text("已通知")
        await expect(case).to_contain_text(phone)
        await expect(case.get_by_role("button")).to_have_count(1)
        await expect(page.get_by_text("登记来电")).to_have_count(0)


async def test_without_cases_the_page_says_so(operator: Page) -> None:
    await expect(operator.get_by_text("目前没有未结案件。")).to_be_visible()


async def test_a_wrong_password_is_refused_and_the_right_one_lets_in_by_keyboard_alone(
    operator: Page, product: Process
) -> None:
    await operator.get_by_role("button", name="退出").click()
    await expect(operator.get_by_text("演示系统")).to_be_visible()
    await expect(operator.get_by_label("用户名")).to_be_focused()
    await operator.keyboard.insert_text("op1")
    await operator.keyboard.press("Tab")
    await operator.keyboard.insert_text("wrong")
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_text("用户名或密码不正确")).to_be_visible()
    await expect(operator.get_by_label("密码")).to_have_value("")
    assert await operator.context.cookies(f"http://{product.address}") == []
    await operator.get_by_label("密码").focus()
    await operator.keyboard.insert_text(PASSWORD)
    await operator.keyboard.press("Enter")
    await expect(operator.get_by_text("坐席一号")).to_be_visible()
    await expect(operator.get_by_label("车牌号")).to_be_focused()
    (cookie,) = await operator.context.cookies(f"http://{product.address}")
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"


async def test_a_reload_keeps_the_log_in_and_a_log_out_ends_it(operator: Page) -> None:
    await operator.reload()
    await expect(operator.get_by_text("坐席一号")).to_be_visible()
    await operator.get_by_role("button", name="退出").click()
    await operator.reload()
    await expect(operator.get_by_role("button", name="登录")).to_be_visible()


async def test_a_session_that_has_ended_leads_back_to_the_log_in(operator: Page, product: Process) -> None:
    (cookie,) = await operator.context.cookies(f"http://{product.address}")
    async with Client(product.address) as same:
        same.http.headers["Authorization"] = f"Bearer {cookie['value']}"
        status, _ = await same._send("DELETE", "/sessions/current")
    assert status == 204
    # The live stream ends with the session, so the page knows without being used.
    await expect(operator.get_by_text("登录已过期，请重新登录。")).to_be_visible()


async def test_a_server_that_answers_nonsense_is_told_as_an_error(operator: Page) -> None:
    async def nonsense(route: Route) -> None:
        await route.fulfill(status=502, body="<html>bad gateway</html>", content_type="text/html")

    async def problem(route: Route) -> None:
        body = json.dumps(
            {"title": "系统暂时不可用，请稍后重试", "status": 503, "code": "x", "detail": "数据库"}
        )
        await route.fulfill(status=503, body=body, content_type="application/problem+json")

    await operator.route("**/api/v1/cases", nonsense)
    await enter_case(operator, "苏D10001")
    await expect(operator.get_by_text("服务器出错（502）")).to_be_visible()
    await operator.route("**/api/v1/cases", problem)
    await operator.get_by_role("button", name="建案并呼叫车主").click()
    await expect(operator.get_by_text("系统暂时不可用，请稍后重试：数据库")).to_be_visible()
