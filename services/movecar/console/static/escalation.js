// One escalation at the desk.

import { Problem, submit } from "./api.js";
import { listening } from "./audio.js";
import { Chain } from "./chain.js";
import { ask } from "./dialog.js";
import { arrange, h, newId, setText } from "./dom.js";
import { Choice, Field, input, plain } from "./form.js";
import { plateBadge } from "./plate.js";
import { now, span, when } from "./time.js";
import {
  ATTEMPT_OUTCOMES,
  CHAIN_STEPS,
  COLORS,
  DISPOSITIONS,
  ESCALATION_REASONS,
  ESCALATION_STATUSES,
  PLATE_KINDS,
  PRIORITIES,
  actor,
  say,
} from "./words.js";

const OFFICER_KEY = "movecar.officer";
const SLOW_MS = 60_000;

export class EscalationCard {
  // `acted(escalation)` gets it after an acknowledgement or a disposition; `reminder` as for `update`.
  constructor(item, { acted, reminder }) {
    this.acted = acted;
    this.made = new Map();
    this.listenings = new Map();
    const id = newId("escalation");
    const officer = newId("officer");
    this.waiting = h("span", { class: "waiting" });
    this.status = h("span", { class: "status" });
    this.reason = h("h3", { id });
    this.priority = h("span", { class: "priority" });
    this.plate = plateBadge(item);
    this.kind = h("span", { class: "kind" });
    this.insisted = h("p", { class: "insisted" });
    this.place = h("p", { class: "place" });
    this.facts = h("dl");
    this.calls = h("ol", { class: "calls", "aria-label": "已呼叫车主" });
    this.progress = h("p", { class: "progress" });
    this.mistake = h("p", { class: "mistake", role: "alert" });
    this.officer = input({ id: officer, maxlength: 200, autocomplete: "off", value: sessionStorage.getItem(OFFICER_KEY) ?? "" });
    this.acknowledge = h(
      "form",
      { class: "acknowledge", submit: (event) => this.onAcknowledge(event) },
      h("label", { for: officer }, "处警民警"),
      this.officer,
      h("button", { type: "submit", class: "primary" }, "签收"),
    );
    this.dispose = h("button", { type: "button", click: (event) => event.detail > 1 || this.onDispose() }, "登记处置结果");
    this.actions = h("div", { class: "actions" });
    this.chain = new Chain(item.id);
    this.element = h(
      "article",
      { class: "escalation", "aria-labelledby": id },
      h("header", {}, this.priority, this.plate.element, this.kind, this.reason, this.status, this.waiting),
      this.insisted,
      this.place,
      this.facts,
      this.calls,
      this.chain.element,
      this.actions,
      this.mistake,
    );
    this.update(item, reminder);
  }

  // Taken over and not dealt with in time: it waits anew, and what was noted then still stands in it.
  get again() {
    return this.item.status === "raised" && Boolean(this.item.acknowledged_at);
  }

  get waited() {
    return now() - Date.parse(this.item.raised_at);
  }

  // `reminder` is the step that has just been taken because nobody answered, and when.
  update(item, reminder = null) {
    if (this.item && item.status !== this.item.status) {
      setText(this.mistake, "");
      this.reminder = null;
    }
    this.item = item;
    this.reminder = reminder ?? this.reminder;
    this.element.dataset.status = item.status;
    this.element.dataset.reason = item.reason;
    this.element.dataset.priority = item.priority ?? "normal";
    this.element.classList.toggle("again", this.again);
    setText(this.priority, item.priority && item.priority !== "normal" ? say(PRIORITIES, item.priority) : "");
    setText(this.kind, kindWords(item));
    setText(this.insisted, this.insistedWords());
    this.plate.update({ plate: item.plate ?? "车牌不详", plate_color: item.plate_color });
    setText(this.reason, say(ESCALATION_REASONS, item.reason));
    setText(this.status, say(ESCALATION_STATUSES, item.status));
    setText(this.place, item.location ?? "");
    const facts = [
      ["情况", item.situation],
      ["备注", item.note],
      ["来电", item.requester_phone],
      ["坐席", item.operator],
      ["案件", item.case_number],
      ["转来", when(item.raised_at)],
    ];
    this.facts.replaceChildren(
      ...facts.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))),
    );
    arrange(this.calls, this.callsOf(item.attempts ?? []));
    setText(this.progress, progressOf(item));
    // What comes in place of the form leaves the other button where it is: it may be under the mouse.
    const open = item.status === "raised" || item.status === "acknowledged";
    arrange(this.actions, [item.status === "raised" ? this.acknowledge : this.progress, ...(open ? [this.dispose] : [])]);
    this.chain.refresh();
    this.tick();
  }

  insistedWords() {
    const { item, reminder } = this;
    if (item.status !== "raised") return "";
    const again = this.again
      ? `逾期未处置，重新上报（${when(item.acknowledged_at)} 曾由 ${item.officer ?? actor(item.acknowledged_by)} 签收）`
      : "";
    const step = reminder && reminder.step !== "raise_again" ? `${when(reminder.at)} ${say(CHAIN_STEPS, reminder.step)}，仍未签收` : "";
    return [again, step].filter(Boolean).join("；");
  }

  // What was tried; a call that was still waiting when the case came here was never made. What is being listened
  // to stays.
  callsOf(attempts) {
    const made = attempts.filter((attempt) => attempt.dialed_at);
    if (!made.length) return [this.callOf("none", null, "未曾呼叫车主")];
    return made.map(({ number, dialed_at: dialed, outcome, recording_id: recording }) => {
      const words = `第${number}次 ${when(dialed)} ${say(ATTEMPT_OUTCOMES, outcome) || "尚无结果"}`;
      return this.callOf(number, { outcome, recording }, words);
    });
  }

  callOf(key, call, words) {
    const text = this.made.get(key)?.text ?? h("span");
    const element = this.made.get(key)?.element ?? h("li", {}, text);
    this.made.set(key, { element, text });
    setText(text, words);
    if (call?.outcome) element.dataset.outcome = call.outcome;
    const { recording } = call ?? {};
    if (recording && !this.listenings.has(recording)) {
      this.listenings.set(recording, listening(recording, { title: words }));
      element.append(this.listenings.get(recording));
    }
    return element;
  }

  tick() {
    const { waited } = this;
    const raised = this.item.status === "raised";
    setText(this.waiting, raised ? `${this.again ? "已转来" : "已等待"} ${span(waited)}` : "");
    this.waiting.classList.toggle("slow", raised && waited > SLOW_MS);
    this.chain.tick();
  }

  async onAcknowledge(event) {
    event.preventDefault();
    const officer = plain(this.officer.value.trim());
    sessionStorage.setItem(OFFICER_KEY, officer);
    setText(this.mistake, "");
    try {
      const { data } = await submit(`/escalations/${this.item.id}/ack`, officer ? { officer } : {});
      this.acted(data);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setText(this.mistake, [problem.text, ...problem.errors.map((error) => error.message)].join("；"));
    }
  }

  onDispose() {
    const { id, plate, location, reason } = this.item;
    ask({
      title: `处置结果 · ${plate ?? ""}`,
      about: `${say(ESCALATION_REASONS, reason)}　${location ?? ""}`,
      fields: [
        new Choice({ name: "code", label: "结果", options: DISPOSITIONS }),
        new Field({ name: "note", label: "说明", optional: true, control: input({ maxlength: 1000 }) }),
      ],
      button: "登记并结束",
      missing: { code: "请选择处置结果" },
      send: async ({ code, note }) => {
        this.acted((await submit(`/escalations/${id}/disposition`, { code, note: plain(note) })).data);
      },
    });
  }
}

// What the plate itself does not say to everyone: its colour, and an unusual kind.
function kindWords({ plate_kind: kind, plate_color: color }) {
  return [color && say(COLORS, color), kind && kind !== "ordinary" && say(PLATE_KINDS, kind)].filter(Boolean).join(" ");
}

function progressOf(item) {
  const steps = [];
  if (item.acknowledged_at) steps.push(`${when(item.acknowledged_at)} 签收 ${item.officer ?? actor(item.acknowledged_by)}`);
  if (item.disposed_at) {
    const { code, note } = item.disposition;
    steps.push([`${when(item.disposed_at)} ${say(DISPOSITIONS, code)}`, note].filter(Boolean).join("，"));
  }
  if (item.withdrawn_at) steps.push(`${when(item.withdrawn_at)} 来电人撤销，无需处置`);
  return steps.join("；");
}
