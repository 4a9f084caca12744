// The switches and the trunks calls go over, as one caller process sees them.

import { Problem, get } from "./api.js";
import { h, setText } from "./dom.js";
import { full } from "./time.js";
import { LINE_PROBLEMS, TRUNK_STATES, say } from "./words.js";

export function linesPage() {
  const verdict = h("p", { class: "verdict", role: "status" });
  const tables = h("div");
  const mistake = h("p", { class: "mistake", role: "alert" });
  const again = h("button", { type: "button", class: "primary", click: () => load() }, "刷新");

  async function load() {
    setText(mistake, "");
    try {
      const { data } = await get("/trunks");
      verdict.classList.toggle("wrong", Boolean(data.problem));
      setText(verdict, data.problem ? "目前不能呼叫，原因见下。" : "线路可用，可以呼叫。");
      tables.replaceChildren(nodes(data.nodes), trunks(data.trunks));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      // What was read before is old now: better nothing than that.
      setText(verdict, "");
      tables.replaceChildren();
      setText(mistake, `未能读取线路状态：${problem.text}`);
    }
  }

  return {
    element: h("section", { class: "search", "aria-label": "线路" }, h("div", { class: "buttons" }, again), mistake, verdict, tables),
    focus: () => {
      again.focus();
      load();
    },
  };
}

function nodes(items) {
  return table("交换机", ["名称", "状态", "通话数"], items.map((node) => [
    node.name,
    h("span", { class: "status", "data-line": node.up ? "in_service" : "out" }, node.up ? "可用" : say(LINE_PROBLEMS, node.problem)),
    String(node.calls_up),
  ]));
}

function trunks(items) {
  return table("中继", ["交换机", "中继", "状态", "自", "通话数", "最近一次故障"], items.map((trunk) => [
    trunk.node,
    trunk.trunk,
    h("span", { class: "status", "data-line": trunk.state }, say(TRUNK_STATES, trunk.state)),
    full(trunk.since),
    trunk.max_calls === null ? String(trunk.calls_up) : `${trunk.calls_up} / ${trunk.max_calls}`,
    trunk.failed_at ? `${full(trunk.failed_at)} ${say(LINE_PROBLEMS, trunk.reason)}` : "—",
  ]));
}

function table(caption, columns, rows) {
  return h(
    "table",
    { class: "found" },
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell, index) => h("td", { "data-name": columns[index] }, cell))))),
  );
}
