// The file of a case: all that is known of it, every call, and everything that happened to it.

import { Problem, get } from "./api.js";
import { listening } from "./audio.js";
import { callWords } from "./card.js";
import { Chain } from "./chain.js";
import { factList, openDrawer } from "./drawer.js";
import { h } from "./dom.js";
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

const HEARERS = ["supervisor", "auditor"];

// Open the drawer; `update(case)` of what is returned brings news of the case it shows. Who may, can listen to the
// calls and see how the desk was urged.
export function openFile(first, { user, closed }) {
  const body = openDrawer({ title: `案件记录 ${first.number}`, closed });
  const hears = HEARERS.includes(user.role);
  const listenings = new Map();
  let chain = null;
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
    if (mine !== turn) return;
    if (hears && item.escalation && chain?.id !== item.escalation.id) chain = new Chain(item.escalation.id);
    chain?.refresh();
    body.replaceChildren(...about(item), ...callsOf(item, hears ? sound : null), ...historyOf(history, chain));
  }

  // News comes while one listens: a player stays the same.
  function sound({ recording_id: id }, title) {
    if (!id) return "—";
    if (!listenings.has(id)) listenings.set(id, listening(id, { title }));
    return listenings.get(id);
  }

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
    factList(facts),
  ];
}

// `sound(attempt, title)` gives what plays a call, where one may.
function callsOf(item, sound) {
  if (!item.attempts.length) return [];
  const columns = ["次", "结果", "拨出", "接听", "结束", ...(sound ? ["录音"] : [])];
  const head = columns.map((text) => h("th", { scope: "col" }, text));
  const rows = item.attempts.map((attempt, index) =>
    h(
      "tr",
      {},
      h("td", {}, String(index + 1)),
      h("td", {}, callWords(attempt)),
      h("td", {}, when(attempt.dialed_at)),
      h("td", {}, when(attempt.answered_at)),
      h("td", {}, when(attempt.ended_at)),
      sound ? h("td", {}, sound(attempt, `第${index + 1}次`)) : null,
    ),
  );
  return [
    h("h3", {}, "呼叫车主"),
    h("table", {}, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows)),
  ];
}

function historyOf(items, chain) {
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
  return [h("h3", {}, "经过"), chain?.element ?? null, h("ol", { class: "history" }, ...steps)].filter(Boolean);
}
