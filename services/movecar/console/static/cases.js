// The operator's page: the entry form beside the open cases. Supervisors and auditors see it without the form
// and without buttons, and have pages of their own beside it.

import { ACTIONS } from "./actions.js";
import { CaseCard } from "./card.js";
import { checkingPage } from "./checking.js";
import { contractPage } from "./contract.js";
import { arrange, h, setText } from "./dom.js";
import { entryForm } from "./entry.js";
import { FaultNews } from "./faultnews.js";
import { faultsPage } from "./faults.js";
import { openFile } from "./file.js";
import { incidentsPage } from "./incidents.js";
import { linesPage } from "./lines.js";
import { LiveCases, OPEN } from "./live.js";
import { Order } from "./order.js";
import { recordingsPage } from "./recordings.js";
import { scriptsPage } from "./scripts.js";
import { searchPage } from "./search.js";
import { wishesPage } from "./wishes.js";

const GROUPS = [
  { name: "attention", title: "需要您处理", statuses: ["attention"] },
  { name: "running", title: "进行中", statuses: ["looking_up", "calling", "notified"] },
  { name: "desk", title: "在110", statuses: ["escalated", "handed_over"] },
  { name: "over", title: "刚刚结束", statuses: ["closed", "cancelled"] },
];
const RECENTLY_OVER = 5;
const FAULTS_EVERY_MS = 15_000;
// What who supervises or audits sees beside the cases.
const FURTHER = [
  { name: "recordings", label: "录音", make: recordingsPage, roles: ["supervisor", "auditor"] },
  { name: "incidents", label: "异常", make: incidentsPage, roles: ["supervisor", "auditor"] },
  { name: "faults", label: "故障", make: faultsPage, roles: ["supervisor", "auditor"] },
  { name: "wishes", label: "勿呼名单", make: wishesPage, roles: ["supervisor", "auditor"] },
  { name: "checking", label: "话单核对", make: checkingPage, roles: ["supervisor", "auditor"] },
  { name: "lines", label: "线路", make: linesPage, roles: ["supervisor", "auditor"] },
  { name: "scripts", label: "话术", make: scriptsPage, roles: ["supervisor", "auditor"] },
  { name: "contract", label: "合同看板", make: contractPage, roles: ["supervisor", "auditor"] },
];

export function casesPage({ user, config, frame }) {
  const mayAct = user.role === "operator";
  const cards = new Map();
  let file = null;

  const groups = GROUPS.map(({ name, title, statuses }) => {
    const count = h("span", { class: "count" });
    const list = h("div", { class: "cards" });
    const heading = name === "attention" && !mayAct ? "待坐席处理" : title;
    const element = h(
      "section",
      { class: `group group-${name}`, "aria-labelledby": `group-${name}` },
      h("h2", { id: `group-${name}` }, heading, " ", count),
      list,
    );
    element.hidden = true;
    return { name, statuses, count, list, element };
  });
  const empty = h("p", { class: "empty", hidden: true }, "目前没有未结案件。");
  const trouble = h("p", { class: "mistake", role: "alert" });
  const list = groups.map((group) => group.element);
  const live = h("section", { class: "live", "aria-label": "未结案件" }, trouble, empty, ...list);
  const order = new Order(live, arrangeCards);

  const open = (item) => {
    file = openFile(item, { user, closed: () => (file = null) });
  };

  function change(item) {
    const card = cards.get(item.id);
    if (!card && !OPEN.includes(item.status)) {
      // What was over before this page began is for the search, not for the list.
      cases.forget(item.id);
      return;
    }
    if (card) card.update(item);
    else cards.set(item.id, new CaseCard(item, { user, open, act: mayAct ? act : null }));
    file?.update(item);
    order.request();
  }

  function arrangeCards() {
    const newest = [...cards.values()].sort((a, b) => (a.item.created_at < b.item.created_at ? 1 : -1));
    for (const { name, statuses, count, list, element } of groups) {
      let mine = newest.filter((card) => statuses.includes(card.item.status));
      if (name === "over") mine = forgetAllBut(mine, RECENTLY_OVER);
      arrange(list, mine.map((card) => card.element));
      setText(count, String(mine.length));
      element.hidden = !mine.length;
    }
    empty.hidden = newest.some((card) => OPEN.includes(card.item.status));
    const waiting = newest.filter((card) => card.item.status === "attention").length;
    frame.setTitle(waiting && mayAct ? `(${waiting}) 待处理` : "挪车案件");
  }

  function forgetAllBut(over, most) {
    over.sort((a, b) => (a.item.updated_at < b.item.updated_at ? 1 : -1));
    for (const card of over.slice(most)) {
      cards.delete(card.item.id);
      cases.forget(card.item.id);
    }
    return over.slice(0, most);
  }

  async function act(name, item) {
    const mark = cases.mark();
    cases.offer(await ACTIONS[name].act(name, item), mark);
  }

  const cases = new LiveCases({
    onChange: change,
    onLoaded: () => {
      setText(trouble, "");
      order.request();
    },
    onState: frame.setConnection,
    onProblem: (problem) => setText(trouble, `未能读取案件列表：${problem.text}`),
  });

  const entry = mayAct
    ? entryForm({
        prefix: config.plate_prefix,
        opened: (item) => {
          // What is known of it already came after this answer, or says the same.
          if (!cases.cases.has(item.id)) cases.take(item);
          order.now();
          const element = cards.get(item.id)?.element;
          if (!element) return;
          element.classList.remove("fresh");
          element.scrollIntoView({ block: "nearest" });
          requestAnimationFrame(() => element.classList.add("fresh"));
        },
      })
    : null;
  const search = searchPage({ open });
  const board = h("div", { class: entry ? "board with-entry" : "board" }, entry?.element, live);
  const element = h("main", { id: "main" });
  const tabs = frame.setTabs(element, [
    { name: "live", label: "未结案件", element: board, focus: () => entry?.focus() },
    { name: "search", label: "查询", element: search.element, focus: search.focus },
    ...FURTHER.filter(({ roles }) => roles.includes(user.role)).map(({ name, label, make }) => ({ name, label, ...make({ user, go: (page) => tabs.select(page) }) })),
  ]);
  const faults = user.role === "supervisor" ? watchFaults(frame.news) : null;

  const ticking = setInterval(() => {
    for (const card of cards.values()) card.tick();
  }, 1000);
  const onKey = (event) => {
    if (event.key !== "F2" || !entry || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    tabs.select("live");
  };
  document.addEventListener("keydown", onKey);

  return {
    element,
    close: () => {
      cases.close();
      faults?.close();
      clearInterval(ticking);
      order.close();
      document.removeEventListener("keydown", onKey);
    },
  };
}

// A supervisor is told of every fault, also of those that turn nobody away yet.
function watchFaults(place) {
  const faults = new FaultNews(place, { wanted: () => true });
  faults.load();
  const reading = setInterval(() => faults.load(), FAULTS_EVERY_MS);
  const ticking = setInterval(() => faults.tick(), 1000);
  return {
    close: () => {
      clearInterval(reading);
      clearInterval(ticking);
    },
  };
}
