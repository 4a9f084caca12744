// The 110 desk's page: what waits on top and loud, what is being dealt with below, what is over beside it.

import { Alarm } from "./alarm.js";
import { Problem, get } from "./api.js";
import { arrange, h, setText } from "./dom.js";
import { EscalationCard } from "./escalation.js";
import { FaultNews } from "./faultnews.js";
import { faultsPage } from "./faults.js";
import { Order } from "./order.js";
import { keepPlace } from "./place.js";
import { follow } from "./stream.js";

const SILENCE_MS = 25_000; // the server pings every 10 s
const RECENTLY_OVER = 20;
const MOST_RECALLED = 20;
const RECALLED_MS = 20_000;
const RANKS = { emergency: 0, high: 1, normal: 2 };
// An escalation may be heard of twice and out of order (answers, lists and the stream). It only goes forward, but
// for one way back: what was taken over and not dealt with in time is raised again.
const STEPS = { raised: 0, acknowledged: 1, disposed: 2, withdrawn: 2 };

export function deskPage({ user, frame }) {
  const cards = new Map();
  const faults = new FaultNews(frame.news, { changed: () => faultList.element.isConnected && faultList.refresh() });
  const alarm = new Alarm();
  frame.extra.append(alarm.button);

  const section = (name, title) => {
    const count = h("span", { class: "count" });
    const list = h("div", { class: "cards" });
    const empty = h("p", { class: "empty" });
    const element = h(
      "section",
      { class: `group group-${name}`, "aria-labelledby": `group-${name}` },
      h("h2", { id: `group-${name}` }, title, " ", count),
      empty,
      list,
    );
    return { count, list, empty, element };
  };
  const raised = section("raised", "未签收");
  const taken = section("taken", "处置中");
  const over = section("over", "最近结束");
  const trouble = h("p", { class: "mistake", role: "alert" });

  const spoken = h("p", { class: "unseen", role: "alert" });
  const open = h("div", { class: "desk-open" }, spoken, trouble, raised.element, taken.element);
  const board = h("div", { class: "desk" }, open, over.element);
  const element = h("main", { id: "main" });
  const order = new Order(open, arrangeCards);
  order.now();

  // `told.back`: this is news of its being raised again, or the present state. `told.reminder`: what was just done.
  function take(item, { back = false, reminder = null } = {}) {
    const card = cards.get(item.id);
    const before = card?.item.status;
    const backwards = card && STEPS[item.status] < STEPS[before];
    if (backwards && !(back && before === "acknowledged")) return;
    if (card) card.update(item, reminder);
    else cards.set(item.id, new EscalationCard(item, { acted: (answer) => take(answer), reminder }));
    if (item.status === "raised" && before !== "raised") alarm.ring();
    order.request();
  }

  // Emergencies first, then what was already promised once, then the newest.
  function rank(card) {
    return 2 * (RANKS[card.item.priority] ?? RANKS.normal) + (card.again ? 0 : 1);
  }

  function arrangeCards() {
    const newest = [...cards.values()].sort((a, b) => Date.parse(b.item.raised_at) - Date.parse(a.item.raised_at));
    const of = (...statuses) => newest.filter((card) => statuses.includes(card.item.status));
    const urgent = (a, b) => rank(a) - rank(b);
    const waiting = of("raised").sort(urgent);
    fill(raised, waiting, "目前没有待签收的事件。");
    fill(taken, of("acknowledged").sort(urgent), "没有处置中的事件。");
    const ended = of("disposed", "withdrawn");
    for (const card of ended.splice(RECENTLY_OVER)) cards.delete(card.item.id);
    fill(over, ended, "还没有结束的事件。");
    const emergencies = waiting.filter((card) => card.item.priority === "emergency").length;
    const urgently = emergencies ? `，其中特急 ${emergencies} 件` : "";
    setText(spoken, waiting.length ? `有 ${waiting.length} 件待签收${urgently}` : "");
    frame.setTitle(waiting.length ? `(${waiting.length}) ${emergencies ? "特急 " : ""}未签收` : "110接警台");
    alarm.waiting = waiting.length > 0;
  }

  function fill({ count, list, empty, element }, members, words) {
    arrange(list, members.map((card) => card.element));
    setText(count, members.length ? String(members.length) : "");
    setText(empty, members.length ? "" : words);
    empty.hidden = members.length > 0;
    element.classList.toggle("has-some", members.length > 0);
  }

  // Everything that is open, and the number of the feed to go on from.
  async function begin() {
    const { data } = await get("/feed/snapshot");
    for (const item of [...data.escalations].reverse()) take(item, { back: true });
    const waits = new Set(data.escalations.map((item) => item.id));
    const gone = [...cards.values()].filter((card) => STEPS[card.item.status] < STEPS.disposed && !waits.has(card.item.id));
    for (const { item } of gone) await reread(item.id);
    place.at(data.seq);
    return data.seq;
  }

  // What was open here and is not any more.
  async function reread(id) {
    try {
      take((await get(`/escalations/${id}`)).data);
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.status !== 404) throw problem;
      cards.delete(id);
      order.request();
    }
  }

  // What was done before this page began, for the most urgent of those that have waited for a while.
  async function recall() {
    const waiting = [...cards.values()].filter((card) => card.item.status === "raised" && !card.reminder && card.waited > RECALLED_MS);
    for (const card of waiting.sort((a, b) => rank(a) - rank(b)).slice(0, MOST_RECALLED)) {
      try {
        const { steps } = (await get(`/escalations/${card.item.id}/chain`)).data;
        const last = steps.at(-1);
        if (last && !card.reminder) card.update(card.item, { step: last.step, at: last.taken_at });
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        return; // the next reminder tells it
      }
    }
  }

  async function loadOver() {
    try {
      const lists = await Promise.all(
        ["disposed", "withdrawn"].map((status) => get("/escalations", { status, limit: RECENTLY_OVER })),
      );
      for (const item of lists.flatMap(({ data }) => data.items)) take(item);
      setText(trouble, "");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status > 0 && problem.status !== 401) setText(trouble, `未能读取事件列表：${problem.text}`);
    }
  }

  function hear({ seq, type, occurred_at: at, data }) {
    place.at(seq);
    if (!data) return; // a damaged item; what it told is in the next snapshot
    if (type.startsWith("fault.")) faults.hear(type, data);
    if (!type.startsWith("escalation.")) return;
    const { step } = data.reminder ?? {};
    take({ ...data, id: data.escalation_id }, { back: step === "raise_again", reminder: step ? { step, at } : null });
  }

  const place = keepPlace();
  const stop = follow({
    start: async () => `/feed/stream?after=${await begin()}`,
    onItem: hear,
    onOpen: () => {
      loadOver();
      recall();
      faults.load();
    },
    onState: frame.setConnection,
    silence: SILENCE_MS,
  });
  const faultList = faultsPage({ user });
  frame.setTabs(element, [
    { name: "live", label: "事件", element: board, focus: () => {} },
    { name: "faults", label: "故障", element: faultList.element, focus: faultList.focus },
  ]);
  const ticking = setInterval(() => {
    for (const card of cards.values()) card.tick();
    faults.tick();
  }, 1000);

  return {
    element,
    close: () => {
      stop();
      place.close();
      order.close();
      clearInterval(ticking);
      alarm.close();
    },
  };
}
