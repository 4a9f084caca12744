// A page beside the page: the file of one thing. Focus goes in, stays in, and comes back.

import { h, newId } from "./dom.js";

// Returns where its contents go; `closed()` is called when it is closed.
export function openDrawer({ title, closed = () => {} }) {
  const id = newId("drawer");
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
      h("header", {}, h("h2", { id }, title), h("button", { type: "button", click: () => drawer.close() }, "关闭")),
      body,
    ),
  );
  document.body.append(drawer);
  drawer.showModal();
  return body;
}

// A list of facts, without those there are none of.
export function factList(facts) {
  return h(
    "dl",
    {},
    ...facts.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))),
  );
}
