// Questions asked in a modal dialog; focus goes in, stays in, and comes back.

import { Form } from "./form.js";
import { h, newId } from "./dom.js";

// `send(values)` is called on submission; the dialog closes when it succeeds.
export function ask({ title, about, fields, button, send, missing, refused }) {
  const id = newId("dialog");
  const cancel = h("button", { type: "button", click: () => dialog.close() }, "取消");
  const form = new Form({
    fields,
    button,
    missing,
    refused,
    aside: [cancel],
    send: async (values) => {
      await send(values);
      dialog.close();
    },
  });
  const dialog = h(
    "dialog",
    { class: "question", "aria-labelledby": id, close: () => dialog.remove() },
    h("h2", { id }, title),
    about ? h("p", { class: "about" }, about) : null,
    form.element,
  );
  document.body.append(dialog);
  dialog.showModal();
  (fields[0] ?? form.button).focus();
}
