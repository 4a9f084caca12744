// The calls of a time against the switch's own records: what we dialled, what it placed, what disagrees.

import { get } from "./api.js";
import { h } from "./dom.js";
import { Field, Form, moment } from "./form.js";
import { detailWords } from "./incidents.js";
import { day, full, now, shanghai } from "./time.js";
import { INCIDENT_KINDS, say } from "./words.js";

const FIGURES = {
  attempts: "本系统拨出并已结束",
  pending: "尚未结束或刚结束",
  placed: "交换机呼出",
  with_attempt: "其中有拨号记录",
  with_case: "其中有案件",
  answered: "其中接通",
  recorded: "接通且有录音",
};

export function checkingPage() {
  const from = new Field({ name: "from", label: "从", control: moment() });
  const to = new Field({ name: "to", label: "到", hint: "最长 7 天", control: moment() });
  const result = h("div", { class: "checked", "aria-live": "polite" });
  const form = new Form({
    fields: [from, to],
    button: "核对",
    send: async (values) => {
      result.replaceChildren();
      const asked = { from: shanghai(values.from), to: shanghai(values.to) };
      const { data } = await get("/call-records/reconciliation", asked);
      result.replaceChildren(...show(data, `${full(asked.from)} 至 ${full(asked.to)}`));
    },
  });
  form.element.classList.add("search-form");
  return {
    element: h("section", { class: "search", "aria-label": "话单核对" }, form.element, result),
    focus: () => {
      if (!from.value) {
        from.value = `${day(now())}T00:00`;
        to.value = `${day(now() + 86_400_000)}T00:00`;
      }
      from.focus();
      form.element.requestSubmit();
    },
  };
}

function show(report, time) {
  const found = Object.entries(report.mismatches);
  const total = found.reduce((sum, [, count]) => sum + count, 0);
  return [
    h("p", { class: total ? "verdict wrong" : "verdict" }, verdict(report, total, time)),
    h(
      "dl",
      { class: "figures" },
      ...Object.entries(FIGURES).map(([name, label]) => h("div", {}, h("dt", {}, label), h("dd", {}, String(report[name])))),
    ),
    total
      ? h(
          "table",
          { class: "found" },
          h("thead", {}, h("tr", {}, ...["不符", "对象", "详情"].map((name) => h("th", { scope: "col" }, name)))),
          h("tbody", {}, ...report.shown.map(row)),
        )
      : null,
    report.shown.length < total ? h("p", { class: "summary" }, `只列出前 ${report.shown.length} 条，共 ${total} 条。`) : null,
  ].filter(Boolean);
}

function verdict(report, total, time) {
  if (total) return `${time}：有 ${total} 处不符，请逐条核查。`;
  if (!report.placed && !report.attempts) return `${time}：没有呼叫。`;
  return `${time}：双方一致。`;
}

function row({ kind, subject, detail }) {
  const cells = [["不符", say(INCIDENT_KINDS, kind)], ["对象", h("code", {}, subject)], ["详情", detailWords(detail)]];
  return h("tr", {}, ...cells.map(([name, cell]) => h("td", { "data-name": name }, cell)));
}
