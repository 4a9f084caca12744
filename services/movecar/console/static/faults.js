// Faults of the service: what was down, for how long, and the proof that the 110 desk was told in time.

import { Problem, get, submit } from "./api.js";
import { ask } from "./dialog.js";
import { factList, openDrawer } from "./drawer.js";
import { h, setText } from "./dom.js";
import { Choice, Field, input, moment, plain, select } from "./form.js";
import { listPage } from "./list.js";
import { full, shanghai, span, when } from "./time.js";
import {
  AUDIENCES,
  CHANNELS,
  COMPONENTS,
  FAULT_SOURCES,
  FAULT_STATUSES,
  GIVEN_BY,
  MACHINES,
  NOTICE_KINDS,
  NOTICE_STATUSES,
  actor,
  say,
} from "./words.js";

export function faultsPage({ user }) {
  const mayAct = user.role === "supervisor";
  const plans = h("ul", { class: "plans" });
  const machines = h("p", { class: "machines", role: "status", hidden: true });
  const planned = h("section", { class: "planned", "aria-label": "计划维护", hidden: true }, h("h3", {}, "计划维护"), plans);

  const page = listPage({
    label: "故障与通知",
    path: "/faults",
    fields: [
      new Field({ name: "status", label: "状态", optional: true, control: select(FAULT_STATUSES, "全部") }),
      new Field({ name: "component", label: "部件", optional: true, control: select(COMPONENTS, "全部") }),
    ],
    columns: ["部件", "状态", "起", "止", "持续", "原因", "影响", "通知"],
    cells: (fault) => [
      titleOf(fault),
      h("span", { class: "status", "data-fault": fault.status }, say(FAULT_STATUSES, fault.status)),
      full(fault.began_at),
      fault.recovered_at ? full(fault.recovered_at) : "—",
      fault.seconds === null ? "—" : span(fault.seconds * 1000),
      fault.reason,
      fault.lost || (fault.downtime ? "影响受理" : "不影响受理"),
      h("button", { type: "button", click: () => openFault(fault, { mayAct, changed: page.refresh }) }, "查看"),
    ],
    unit: "起",
    nothing: "没有符合条件的故障。",
    button: "刷新",
    aside: mayAct
      ? [
          h("button", { type: "button", click: () => report(page.refresh) }, "登记故障"),
          h("button", { type: "button", click: () => announce(page.refresh) }, "公告维护"),
        ]
      : [],
    above: [machines, planned],
    fresh: true,
    loaded: () => Promise.all([loadPlans(), loadPair()]),
    // Who tells the desk was true a moment ago; nothing is known of now.
    failed: (problem) => {
      if (!machines.hidden) setText(machines, unreadPair(problem));
    },
  });

  // Which of two machines tells the desk. Where there is one machine there is nothing to say.
  async function loadPair() {
    try {
      const { data } = await get("/faults/pair");
      machines.hidden = data.role === null;
      if (data.role !== null) setText(machines, pairText(data));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      machines.hidden = false;
      setText(machines, unreadPair(problem));
    }
  }

  async function loadPlans() {
    let items = [];
    try {
      items = (await get("/faults/maintenance")).data.items;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      planned.hidden = false;
      plans.replaceChildren(h("li", { class: "mistake", role: "alert" }, `未能读取维护公告：${problem.text}`));
      return;
    }
    planned.hidden = !items.length;
    plans.replaceChildren(
      ...items.map((plan) =>
        h("li", {}, h("strong", {}, plan.title), `　${full(plan.begins_at)} 至 ${full(plan.ends_at)}　${plan.note}　${actor(plan.announced_by)} 公告`),
      ),
    );
  }

  return page;
}

function unreadPair(problem) {
  return `未能读取双机状态：${problem.text ?? "原因不明"}`;
}

function pairText({ role, delivers, heard, heard_seconds_ago, other_role, other_well, trouble }) {
  const here = `${MACHINES[role]}${delivers ? "正在通知110接警台" : "值守"}`;
  if (!heard) return `双机：${here}；对端无联系（${trouble || "长时间无消息"}）。`;
  const there = other_well ? "正常" : "已停止或停滞";
  return `双机：${here}；对端（${MACHINES[other_role]}）${there}，${Math.round(heard_seconds_ago)} 秒前有消息。`;
}

function titleOf({ title, drill, planned }) {
  return `${drill ? "【演练】" : ""}${title}${planned ? "（计划内维护）" : ""}`;
}

function openFault(first, { mayAct, changed }) {
  const body = openDrawer({ title: `故障 · ${first.title}` });
  const mistake = h("p", { class: "mistake", role: "alert" });
  show(first);

  async function show(fault) {
    try {
      const { items } = (await get(`/faults/${fault.id}/notices`)).data;
      body.replaceChildren(...about(fault), ...actions(fault), mistake, ...notices(items));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setText(mistake, problem.text);
      body.replaceChildren(...about(fault), ...actions(fault), mistake);
    }
  }

  function actions(fault) {
    if (!mayAct) return [];
    const over = async () => {
      await recover(fault, (item) => {
        changed();
        show(item);
      });
    };
    const given = () => give(fault, () => show(fault));
    return [
      h(
        "div",
        { class: "buttons" },
        fault.status === "open" ? h("button", { type: "button", click: over }, "登记恢复") : null,
        h("button", { type: "button", click: given }, "登记人工通知"),
      ),
    ];
  }
}

function about(fault) {
  return [
    factList([
      ["部件", titleOf(fault)],
      ["状态", say(FAULT_STATUSES, fault.status)],
      ["起", `${full(fault.began_at)}（最后一次确认正常）`],
      ["发现", full(fault.detected_at)],
      ["止", fault.recovered_at && full(fault.recovered_at)],
      ["持续", fault.seconds !== null && span(fault.seconds * 1000)],
      ["原因", fault.reason],
      ["影响", fault.lost || (fault.downtime ? "影响受理，须通知110" : "不影响受理，仅告知班长")],
      ["来源", [say(FAULT_SOURCES, fault.source), actor(fault.opened_by)].filter(Boolean).join(" · ")],
      ["反复", fault.flaps ? `${fault.flaps} 次` : ""],
    ]),
  ];
}

function notices(items) {
  const entries = items.map((notice) =>
    h(
      "li",
      { "data-notice": notice.status },
      h("div", { class: "notice-head" },
        h("strong", {}, `${say(AUDIENCES, notice.audience)} · ${say(NOTICE_KINDS, notice.kind)}`),
        h("span", { class: "status" }, say(NOTICE_STATUSES, notice.status)),
      ),
      h(
        "p",
        {},
        [
          notice.channel && say(CHANNELS, notice.channel),
          `时限 ${when(notice.due_at)}`,
          notice.delivered_at && `送达 ${when(notice.delivered_at)}`,
          notice.by && actor(notice.by),
          notice.machine && MACHINES[notice.machine],
          notice.copies > 1 && "两机各送达一次",
          notice.tries > 1 && `共 ${notice.tries} 次`,
        ]
          .filter(Boolean)
          .join(" · "),
      ),
      notice.proof ? h("p", { class: "proof" }, `凭证：${notice.proof}`) : null,
      notice.error && !notice.delivered_at ? h("p", { class: "mistake" }, `最近一次：${notice.error}`) : null,
    ),
  );
  return [
    h("h3", {}, "通知"),
    entries.length ? h("ol", { class: "notices" }, ...entries) : h("p", { class: "empty" }, "还没有应发的通知。"),
  ];
}

function component() {
  return new Field({ name: "component", label: "部件", control: select(COMPONENTS, "请选择") });
}

function report(done) {
  ask({
    title: "登记故障",
    about: "登记后立即按规定通知110接警台（30 分钟内）。",
    fields: [
      component(),
      new Field({ name: "reason", label: "原因", control: input({ maxlength: 200, placeholder: "如：机房断电" }) }),
      new Field({ name: "began_at", label: "从何时起", hint: "最后一次确认正常的时间；不填即此刻", optional: true, control: moment() }),
    ],
    button: "登记故障",
    missing: { component: "请选择部件" },
    send: async (values) => {
      const body = { component: values.component, reason: plain(values.reason) };
      await submit("/faults", values.began_at ? { ...body, began_at: shanghai(values.began_at) } : body);
      done();
    },
  });
}

function recover(fault, done) {
  ask({
    title: `登记恢复 · ${fault.title}`,
    about: "确认已恢复：将向110接警台发出恢复通知。",
    fields: [],
    button: "确认已恢复",
    send: async () => done((await submit(`/faults/${fault.id}/recover`)).data),
  });
}

function give(fault, done) {
  ask({
    title: `登记人工通知 · ${fault.title}`,
    about: "登记后，该故障未完成的通知即算已送达；请写明通知了谁、何时、对方如何答复。",
    fields: [
      new Choice({ name: "channel", label: "方式", options: GIVEN_BY }),
      new Field({ name: "note", label: "通知情况", control: input({ maxlength: 200, placeholder: "如：03:20 电话告知接警台李警官，已知悉" }) }),
    ],
    button: "登记",
    missing: { channel: "请选择通知方式" },
    send: async ({ channel, note }) => {
      await submit(`/faults/${fault.id}/notices`, { channel, note: plain(note) });
      done();
    },
  });
}

function announce(done) {
  ask({
    title: "公告维护",
    about: "提前告知110接警台；届时的中断仍会登记，注明为计划内维护。",
    fields: [
      component(),
      new Field({ name: "from", label: "从", control: moment() }),
      new Field({ name: "to", label: "到", control: moment() }),
      new Field({ name: "note", label: "说明", optional: true, control: input({ maxlength: 1000 }) }),
    ],
    button: "公告",
    missing: { component: "请选择部件" },
    send: async ({ component: part, from, to, note }) => {
      await submit("/faults/maintenance", { component: part, from: shanghai(from), to: shanghai(to), note: plain(note) });
      done();
    },
  });
}
