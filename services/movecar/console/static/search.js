// Finding cases.

import { h } from "./dom.js";
import { Field, input, select } from "./form.js";
import { listPage } from "./list.js";
import { plateBadge } from "./plate.js";
import { full, midnight } from "./time.js";
import { CASE_OUTCOMES, STATUSES, say } from "./words.js";

// `open(case)` shows the file of a case.
export function searchPage({ open }) {
  const text = (name, label, attributes) =>
    new Field({ name, label, optional: true, control: input({ maxlength: 32, ...attributes }) });
  return listPage({
    label: "查询案件",
    path: "/cases",
    fields: [
      text("plate", "车牌号"),
      text("number", "案件号", { placeholder: "YC20260401000001" }),
      new Field({ name: "status", label: "状态", optional: true, control: select(STATUSES, "全部") }),
      new Field({ name: "from", label: "从", optional: true, control: h("input", { type: "date" }) }),
      new Field({ name: "to", label: "到（含当日）", optional: true, control: h("input", { type: "date" }) }),
    ],
    query: (values) => ({
      ...values,
      number: values.number.toUpperCase(),
      from: values.from && midnight(values.from),
      to: values.to && midnight(values.to, 1),
    }),
    columns: ["车牌", "状态", "位置", "来电号码", "坐席", "建案时间", "案件号", "记录"],
    cells: (item) => [
      plateBadge(item).element,
      say(STATUSES, item.status) + (item.outcome ? ` · ${say(CASE_OUTCOMES, item.outcome)}` : ""),
      item.location,
      item.requester_phone,
      item.operator,
      full(item.created_at),
      item.number,
      h("button", { type: "button", click: () => open(item) }, "查看"),
    ],
    unit: "件",
    nothing: "没有符合条件的案件，可减少条件后再查。",
  });
}
