// The contract board: each clause, how it stands, the figures behind it, and where its proof can be read.

import { Problem, get } from "./api.js";
import { h, setText } from "./dom.js";
import { full, span } from "./time.js";
import { CLAUSE_STATUSES, say } from "./words.js";

// `go(page)` shows another page of the console.
export function contractPage({ go }) {
  const verdict = h("p", { class: "verdict", role: "status" });
  const clauses = h("div", { class: "clauses" });
  const mistake = h("p", { class: "mistake", role: "alert" });
  const again = h("button", { type: "button", class: "primary", click: () => load() }, "刷新");
  let turn = 0;

  async function load() {
    turn += 1;
    const mine = turn;
    setText(mistake, "");
    try {
      const { data } = await get("/contract");
      if (mine !== turn) return;
      verdict.classList.toggle("wrong", data.items.some(({ status }) => status === "breached"));
      verdict.classList.toggle("unproved", data.items.some(({ status }) => status !== "ok"));
      setText(verdict, summary(data));
      clauses.replaceChildren(...data.items.map((clause) => article(clause, go)));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (mine !== turn) return;
      // Evidence of another moment proves nothing of this one.
      setText(verdict, "");
      clauses.replaceChildren();
      setText(mistake, `未能读取合同看板：${problem.text}`);
    }
  }

  return {
    element: h("section", { class: "search", "aria-label": "合同看板" }, h("div", { class: "buttons" }, again), mistake, verdict, clauses),
    focus: () => {
      again.focus();
      load();
    },
  };
}

function summary({ items, read_at }) {
  const counts = Object.entries(CLAUSE_STATUSES)
    .map(([status, words]) => [words, items.filter((clause) => clause.status === status).length])
    .filter(([, number]) => number)
    .map(([words, number]) => `${words} ${number} 项`);
  return `${counts.join("，")}（${full(read_at)}）`;
}

function article({ id, origin, text, status, findings, figures, taken_at, proofs }, go) {
  const name = `clause-${id}`;
  return h(
    "article",
    { class: "clause", "data-clause": status, "aria-labelledby": name },
    h("h2", { id: name }, h("span", { class: "clause-id" }, id), text),
    h("span", { class: "status" }, say(CLAUSE_STATUSES, status)),
    findings.length ? h("ul", { class: "findings" }, ...findings.map((finding) => h("li", {}, finding))) : null,
    figures.length
      ? h("dl", { class: "figures" }, ...figures.map((figure) => h("div", { "data-kind": figure.kind }, h("dt", {}, figure.label), h("dd", {}, shown(figure)))))
      : null,
    h(
      "p",
      { class: "proofs" },
      `挪车合同 ${origin} · 取证 ${full(taken_at)} · 凭证`,
      ...proofs.map(({ label, path, page }) =>
        page ? h("button", { type: "button", click: () => go(page) }, label) : h("a", { href: `/api/v1${path}`, target: "_blank", rel: "noopener" }, label),
      ),
    ),
  );
}

function shown({ kind, value }) {
  if (value === null) return "—";
  if (kind === "seconds") return value < 60 ? `${value} 秒` : span(value * 1000);
  return kind === "time" ? full(value) : String(value);
}
