// Forms: a label for every field, its mistake beside it, one submission at a time.

import { Problem } from "./api.js";
import { h, newId, setText } from "./dom.js";

export class Field {
  constructor({ name, label, hint, optional = false, control }) {
    const id = newId(name);
    this.name = name;
    this.label = label;
    this.optional = optional;
    this.control = control;
    this.hint = h("p", { class: "hint", id: `${id}-hint` }, hint ?? "");
    this.mistake = h("p", { class: "mistake", id: `${id}-mistake`, role: "alert" });
    this.remedy = h("div", { class: "remedy" });
    control.id = id;
    control.name = name;
    control.setAttribute("aria-describedby", `${id}-mistake ${id}-hint`);
    if (!optional) control.setAttribute("aria-required", "true");
    this.element = h(
      "div",
      { class: `field field-${name}` },
      h("div", { class: "caption" }, h("label", { for: id }, label), optional ? h("span", {}, "选填") : null),
      control,
      this.mistake,
      this.remedy,
      hint ? this.hint : null,
    );
    control.addEventListener("input", () => this.clear());
  }

  get value() {
    return this.control.value.trim();
  }

  set value(text) {
    this.control.value = text;
  }

  clear() {
    setText(this.mistake, "");
    this.remedy.replaceChildren();
    this.control.removeAttribute("aria-invalid");
  }

  refuse(message) {
    setText(this.mistake, message);
    this.control.setAttribute("aria-invalid", "true");
  }

  focus() {
    this.control.focus();
  }
}

// One of several, as radio buttons.
export class Choice {
  constructor({ name, label, options }) {
    const id = newId(name);
    this.name = name;
    this.label = label;
    this.optional = false;
    this.mistake = h("p", { class: "mistake", id: `${id}-mistake`, role: "alert" });
    this.inputs = Object.entries(options).map(([value, text]) => {
      const input = h("input", { type: "radio", name, value });
      return { input, element: h("label", { class: "option" }, input, h("span", {}, text)) };
    });
    this.element = h(
      "fieldset",
      { class: "field choice", "aria-describedby": `${id}-mistake`, change: () => this.clear() },
      h("legend", {}, label),
      h("div", { class: "options" }, ...this.inputs.map(({ element }) => element)),
      this.mistake,
    );
  }

  get value() {
    return this.inputs.find(({ input }) => input.checked)?.input.value ?? "";
  }

  clear() {
    setText(this.mistake, "");
  }

  refuse(message) {
    setText(this.mistake, message);
  }

  focus() {
    this.inputs[0].input.focus();
  }
}

export class Form {
  // `send(values)` returns a promise; a Problem it rejects with is shown at its fields, then given to `refused`.
  // `missing` has the words for required fields that are empty. Nothing is sent while `untouched()`.
  constructor({ fields, button, send, missing = {}, aside = [], refused = () => {}, untouched = () => false }) {
    this.fields = fields;
    this.send = send;
    this.missing = missing;
    this.refused = refused;
    this.untouched = untouched;
    this.busy = false;
    this.message = h("p", { class: "message", role: "alert" });
    this.button = h("button", { type: "submit", class: "primary" }, button);
    this.element = h(
      "form",
      { novalidate: true, autocomplete: "off", submit: (event) => this.submitted(event) },
      ...fields.map((field) => field.element),
      this.message,
      h("div", { class: "buttons" }, this.button, ...aside),
    );
  }

  values() {
    return Object.fromEntries(this.fields.map((field) => [field.name, field.value]));
  }

  clear() {
    for (const field of this.fields) field.clear();
    setText(this.message, "");
  }

  async submitted(event) {
    event.preventDefault();
    if (this.busy) return;
    this.clear();
    if (this.untouched()) {
      this.fields[0].focus();
      return;
    }
    const values = this.values();
    const empty = this.fields.filter((field) => !field.optional && !values[field.name]);
    if (empty.length) {
      for (const field of empty) field.refuse(this.missing[field.name] ?? `请填写${field.label}`);
      empty[0].focus();
      return;
    }
    this.busy = true;
    this.button.setAttribute("aria-busy", "true");
    try {
      await this.send(values);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.refuse(problem);
      this.refused(problem);
    } finally {
      this.busy = false;
      this.button.removeAttribute("aria-busy");
    }
  }

  refuse(problem) {
    const elsewhere = [];
    let first = null;
    for (const { field: name, message } of problem.errors) {
      const field = this.fields.find((candidate) => name === candidate.name || name.startsWith(`${candidate.name}.`));
      if (field) {
        field.refuse(readable(message));
        first ??= field;
      } else {
        elsewhere.push(readable(message));
      }
    }
    setText(this.message, first && !elsewhere.length ? "" : [problem.text, ...elsewhere].join("；"));
    (first ?? this.fields[0])?.focus();
  }
}

export function input(attributes) {
  return h("input", { type: "text", spellcheck: "false", ...attributes });
}

// A date and a time of day, as clocks in Asia/Shanghai show it.
export function moment() {
  return h("input", { type: "datetime-local", max: "9999-12-31T23:59" });
}

export function select(options, first) {
  return h(
    "select",
    {},
    h("option", { value: "" }, first),
    ...Object.entries(options).map(([value, text]) => h("option", { value }, text)),
  );
}

// Half-width punctuation is refused by the server, and nobody should fight it at three in the morning.
export function plain(text) {
  return text.replace(/[,;&|"'`\\<>{}]/g, (mark) => String.fromCharCode(mark.charCodeAt(0) + 0xfee0)).replace(/\$/g, "＄");
}

function readable(message) {
  return message.replace(/ U\+([0-9A-F]{4,6})/g, (_, code) => `“${String.fromCodePoint(parseInt(code, 16))}”`);
}
