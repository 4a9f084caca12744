// The log-in page.

import { h } from "./dom.js";
import { Field, Form, input } from "./form.js";
import { logIn } from "./session.js";

// `notice` says why one must log in again; `entered(session)` goes on.
export function loginPage({ notice, entered }) {
  const username = new Field({
    name: "username",
    label: "用户名",
    control: input({ maxlength: 40, autocomplete: "username", autocapitalize: "none" }),
  });
  const password = new Field({
    name: "password",
    label: "密码",
    control: input({ type: "password", maxlength: 200, autocomplete: "current-password" }),
  });
  const form = new Form({
    fields: [username, password],
    button: "登录",
    send: async (values) => entered(await logIn(values.username, password.control.value)),
    refused: () => {
      password.value = "";
    },
  });
  return {
    element: h(
      "main",
      { class: "login", id: "main" },
      h("h1", {}, "114 挪车", h("span", {}, "调度平台")),
      notice ? h("p", { class: "notice", role: "alert" }, notice) : null,
      form.element,
    ),
    focus: () => username.focus(),
    close: () => {},
  };
}
