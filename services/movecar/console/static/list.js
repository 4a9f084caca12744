// A list of the API, newest first, a page at a time, with the conditions it was asked under above it.

import { Problem, get } from "./api.js";
import { h, newId, setText } from "./dom.js";
import { Form } from "./form.js";

const PAGE = 25;

// `query(values)` makes the API's parameters of the fields' values; `cells(item, show)` a row's contents, in the
// order of `columns`: `show(item)` puts what has become of the item in the row's place. `above` stands over the
// table, `aside` are further buttons. A `fresh` list is read anew each time it is come to. `loaded(data)` and
// `failed(problem)` tell what came of it.
export function listPage({
  label,
  path,
  fields = [],
  query = (values) => values,
  columns,
  cells,
  unit = "条",
  nothing,
  button = "查询",
  aside = [],
  above = [],
  fresh = false,
  loaded = () => {},
  failed = () => {},
}) {
  const id = newId("list");
  const rows = h("tbody");
  const summary = h("p", { class: "summary", role: "status" });
  const more = h("button", { type: "button", hidden: true, click: () => loadMore() }, "更多");
  const table = h(
    "table",
    { class: "found", hidden: true, "aria-labelledby": id },
    h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", { scope: "col" }, name)))),
    rows,
  );
  let asked = {};
  let next = null;
  let turn = 0;

  async function load(first) {
    turn += 1;
    const mine = turn;
    const { data } = await get(path, { ...asked, limit: PAGE, cursor: first ? null : next });
    if (mine !== turn) return;
    next = data.next;
    const found = data.items.map(row);
    if (first) rows.replaceChildren(...found);
    else rows.append(...found);
    const count = rows.childElementCount;
    more.hidden = !next;
    table.hidden = !count;
    setText(summary, count ? `已列出 ${count} ${unit}${next ? "，还有更多" : ""}` : nothing);
    loaded(data);
  }

  async function loadMore() {
    try {
      await load(false);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      form.refuse(problem);
    }
  }

  function row(item) {
    const element = h("tr");
    const show = (current) => {
      const contents = cells(current, show);
      element.replaceChildren(...contents.map((cell, index) => h("td", { "data-name": columns[index] }, cell)));
    };
    show(item);
    return element;
  }

  const form = new Form({
    fields,
    button,
    aside,
    send: async (values) => {
      asked = query(values);
      try {
        await load(true);
      } catch (problem) {
        failed(problem);
        throw problem;
      }
    },
  });
  form.element.classList.add("search-form");
  const refresh = () => form.element.requestSubmit();
  return {
    element: h("section", { class: "search", "aria-labelledby": id }, h("h2", { class: "unseen", id }, label), form.element, ...above, summary, table, more),
    refresh,
    focus: () => {
      fields[0]?.focus();
      if (fresh || table.hidden) refresh();
    },
  };
}
