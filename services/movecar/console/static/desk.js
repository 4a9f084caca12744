// The 110 desk's page: what waits on top and loud, what is being dealt with below, what is over beside it.

import { Alarm } from "./alarm.js";
import { Problem, get, getAll } from "./api.js";
import { arrange, h, setText } from "./dom.js";
import { EscalationCard } from "./escalation.js";
import { Order } from "./order.js";
import { follow } from "./stream.js";

const SILENCE_MS = 25_000; // the server pings every 10 s
const RECENTLY_OVER = 20;
// Steps may be heard of twice and out of order (list and stream): an escalation only ever goes forward.
const STEPS = { raised: 0, acknowledged: 1, disposed: 2, withdrawn: 2 };

export function deskPage({ frame }) {
  const cards = new Map();
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
  const element = h("main", { id: "main", class: "desk" }, open, over.element);
  const order = new Order(open, arrangeCards);
  order.now();

  function take(item) {
    const card = cards.get(item.id);
    if (card && STEPS[item.status] < STEPS[card.item.status]) return;
    if (card) card.update(item);
    else cards.set(item.id, new EscalationCard(item, { acted: take }));
    if (!card && item.status === "raised") {
      alarm.ring();
    }
    order.request();
  }

  function arrangeCards() {
    const newest = [...cards.values()].sort((a, b) => Date.parse(b.item.raised_at) - Date.parse(a.item.raised_at));
    const of = (...statuses) => newest.filter((card) => statuses.includes(card.item.status));
    const waiting = of("raised");
    fill(raised, waiting, "目前没有待签收的事件。");
    fill(taken, of("acknowledged"), "没有处置中的事件。");
    const ended = of("disposed", "withdrawn");
    for (const card of ended.splice(RECENTLY_OVER)) cards.delete(card.item.id);
    fill(over, ended, "还没有结束的事件。");
    setText(spoken, waiting.length ? `有 ${waiting.length} 件待签收` : "");
    frame.setTitle(waiting.length ? `(${waiting.length}) 未签收` : "110接警台");
    alarm.waiting = waiting.length > 0;
  }

  function fill({ count, list, empty, element }, members, words) {
    arrange(list, members.map((card) => card.element));
    setText(count, members.length ? String(members.length) : "");
    setText(empty, members.length ? "" : words);
    empty.hidden = members.length > 0;
    element.classList.toggle("has-some", members.length > 0);
  }

  async function load() {
    try {
      const [waiting, inHand, disposed, withdrawn] = await Promise.all([
        getAll("/escalations", { status: "raised" }),
        getAll("/escalations", { status: "acknowledged" }),
        get("/escalations", { status: "disposed", limit: RECENTLY_OVER }),
        get("/escalations", { status: "withdrawn", limit: RECENTLY_OVER }),
      ]);
      for (const item of [...disposed.data.items, ...withdrawn.data.items, ...inHand, ...waiting]) take(item);
      setText(trouble, "");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status > 0 && problem.status !== 401) setText(trouble, `未能读取事件列表：${problem.text}`);
    }
  }

  const stop = follow({
    // Everything up to the newest raised item is in the lists that are read next; the stream has the rest.
    start: async () => {
      const { data } = await get("/escalations", { limit: 1 });
      return `/feed/stream?after=${data.items[0]?.seq ?? 0}`;
    },
    onItem: ({ type, data }) => {
      if (type.startsWith("escalation.")) take({ ...data, id: data.escalation_id });
    },
    onOpen: load,
    onState: frame.setConnection,
    silence: SILENCE_MS,
  });
  const ticking = setInterval(() => {
    for (const card of cards.values()) card.tick();
  }, 1000);

  return {
    element,
    close: () => {
      stop();
      order.close();
      clearInterval(ticking);
      alarm.close();
    },
  };
}
