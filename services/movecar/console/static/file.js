// The file of a case: all that is known of it, every call, and everything that happened to it.

import { Problem, get } from "./api.js";
import { callWords } from "./card.js";
import { h, newId } from "./dom.js";
import { plateBadge } from "./plate.js";
import { full, when } from "./time.js";
import {
  ATTENTION_REASONS,
  CASE_OUTCOMES,
  COLORS,
  ESCALATION_REASONS,
  ESCALATION_STATUSES,
  REASONS,
  STATUSES,
  TRIGGERS,
  actor,
  say,
} from "./words.js";

// Open the drawer; `update(case)` of what is returned brings news of the case it shows.
export function openFile(first, { closed }) {
  const id = newId("file");
  const body = h("div", { class: "file-body" });
  const drawer = h(
    "dialog",
    {
      class: "drawer",
      "aria-labelledby": id,
      close: () => {
        drawer.remove();
        closed();
      },
      // A click on the drawer itself, not on what it holds, fell on the backdrop.
      click: (event) => event.target === drawer && drawer.close(),
    },
    h(
      "div",
      { class: "drawer-page" },
      h(
        "header",
        {},
        h("h2", { id }, `案件记录 ${first.number}`),
        h("button", { type: "button", click: () => drawer.close() }, "关闭"),
      ),
      body,
    ),
  );

  let turn = 0;

  async function show(item) {
    turn += 1;
    const mine = turn;
    let history;
    try {
      history = (await get(`/cases/${item.id}/history`)).data.items;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      body.replaceChildren(...about(item), h("p", { class: "mistake", role: "alert" }, problem.text));
      return;
    }
    // News may come faster than answers: only the latest is shown.
    if (mine === turn) body.replaceChildren(...about(item), ...callsOf(item), ...historyOf(history));
  }

  document.body.append(drawer);
  drawer.showModal();
  show(first);
  return {
    update: (item) => {
      if (item.id === first.id) show(item);
    },
  };
}

function about(item) {
  const { escalation, owner } = item;
  const facts = [
    ["状态", say(STATUSES, item.status) + (item.attention_reason ? `：${say(ATTENTION_REASONS, item.attention_reason)}` : "")],
    ["结果", item.outcome && say(CASE_OUTCOMES, item.outcome)],
    ["颜色", item.plate_color && say(COLORS, item.plate_color)],
    ["位置", item.location],
    ["情况", item.situation],
    ["备注", item.note],
    ["来电号码", item.requester_phone],
    ["车主", [owner.name, owner.phone].filter(Boolean).join(" ")],
    [
      "110",
      escalation &&
        [
          say(ESCALATION_REASONS, escalation.reason),
          say(ESCALATION_STATUSES, escalation.status),
          escalation.seq ? `第 ${escalation.seq} 号` : "",
        ]
          .filter(Boolean)
          .join(" · "),
    ],
    ["坐席", item.operator],
    ["建案", full(item.created_at)],
    ["时限", item.deadline_at && full(item.deadline_at)],
  ];
  return [
    h("p", { class: "file-plate" }, plateBadge(item).element),
    h(
      "dl",
      {},
      ...facts.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))),
    ),
  ];
}

function callsOf(item) {
  if (!item.attempts.length) return [];
  const head = ["次", "结果", "拨出", "接听", "结束"].map((text) => h("th", { scope: "col" }, text));
  const rows = item.attempts.map((attempt, index) =>
    h(
      "tr",
      {},
      h("td", {}, String(index + 1)),
      h("td", {}, callWords(attempt)),
      h("td", {}, when(attempt.dialed_at)),
      h("td", {}, when(attempt.answered_at)),
      h("td", {}, when(attempt.ended_at)),
    ),
  );
  return [
    h("h3", {}, "呼叫车主"),
    h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)),
  ];
}

function historyOf(items) {
  const steps = items.map((step) =>
    h(
      "li",
      {},
      h("time", { datetime: step.at }, when(step.at)),
      h(
        "div",
        {},
        h("strong", {}, say(TRIGGERS, step.trigger)),
        step.from_status !== step.to_status ? h("span", { class: "to" }, say(STATUSES, step.to_status)) : null,
        h(
          "p",
          {},
          [actor(step.actor), step.reason && say(REASONS, step.reason), step.note].filter(Boolean).join(" · "),
        ),
      ),
    ),
  );
  return [h("h3", {}, "经过"), h("ol", { class: "history" }, ...steps)];
}
