// Finding cases, newest first, a page at a time.

import { Problem, get } from "./api.js";
import { h, setText } from "./dom.js";
import { Field, Form, input, select } from "./form.js";
import { plateBadge } from "./plate.js";
import { full, midnight } from "./time.js";
import { CASE_OUTCOMES, STATUSES, say } from "./words.js";

const PAGE = 25;
const COLUMNS = ["车牌", "状态", "位置", "来电号码", "坐席", "建案时间", "案件号", "记录"];

// `open(case)` shows the file of a case.
export function searchPage({ open }) {
  const text = (name, label, attributes) =>
    new Field({ name, label, optional: true, control: input({ maxlength: 32, ...attributes }) });
  const fields = [
    text("plate", "车牌号"),
    text("number", "案件号", { placeholder: "YC20260401000001" }),
    new Field({ name: "status", label: "状态", optional: true, control: select(STATUSES, "全部") }),
    new Field({ name: "from", label: "从", optional: true, control: h("input", { type: "date" }) }),
    new Field({ name: "to", label: "到（含当日）", optional: true, control: h("input", { type: "date" }) }),
  ];
  const rows = h("tbody");
  const summary = h("p", { class: "summary", role: "status" });
  const more = h("button", { type: "button", hidden: true, click: () => loadMore() }, "更多");
  const table = h(
    "table",
    { class: "found", hidden: true },
    h("thead", {}, h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
    rows,
  );
  let query = {};
  let next = null;

  async function load() {
    const { data } = await get("/cases", { ...query, limit: PAGE, cursor: next });
    next = data.next;
    rows.append(...data.items.map((item) => row(item, open)));
    more.hidden = !next;
    table.hidden = !rows.childElementCount;
    setText(
      summary,
      rows.childElementCount
        ? `已列出 ${rows.childElementCount} 件${next ? "，还有更多" : ""}`
        : "没有符合条件的案件，可减少条件后再查。",
    );
  }

  async function loadMore() {
    try {
      await load();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      form.refuse(problem);
    }
  }

  const form = new Form({
    fields,
    button: "查询",
    send: async (values) => {
      query = {
        plate: values.plate,
        number: values.number.toUpperCase(),
        status: values.status,
        from: values.from && midnight(values.from),
        to: values.to && midnight(values.to, 1),
      };
      next = null;
      rows.replaceChildren();
      await load();
    },
  });
  form.element.classList.add("search-form");
  return {
    element: h("section", { class: "search", "aria-label": "查询案件" }, form.element, summary, table, more),
    focus: () => {
      fields[0].focus();
      if (!table.hidden) return;
      form.element.requestSubmit();
    },
  };
}

function row(item, open) {
  const outcome = item.outcome ? ` · ${say(CASE_OUTCOMES, item.outcome)}` : "";
  const cells = [
    plateBadge(item).element,
    `${say(STATUSES, item.status)}${outcome}`,
    item.location,
    item.requester_phone,
    item.operator,
    full(item.created_at),
    item.number,
    h("button", { type: "button", click: () => open(item) }, "查看"),
  ];
  return h("tr", {}, ...cells.map((cell, index) => h("td", { "data-name": COLUMNS[index] }, cell)));
}
