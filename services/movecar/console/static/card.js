// One case in the list. Its parts stay where they are and only their text changes: a button never vanishes
// under a press because something else about the case is new.

import { ACTIONS, actionsFor, explained, firstChoice } from "./actions.js";
import { Problem } from "./api.js";
import { arrange, h, newId, setText } from "./dom.js";
import { plateBadge } from "./plate.js";
import { now, span, when } from "./time.js";
import {
  ATTEMPT_OUTCOMES,
  ATTEMPT_STATES,
  ATTENTION_REASONS,
  CASE_OUTCOMES,
  ESCALATION_REASONS,
  ESCALATION_STATUSES,
  STATUSES,
  WITHHELD_REASONS,
  say,
} from "./words.js";

const DEADLINES = {
  looking_up: (left) => `查询时限 ${left}`,
  calling: (left) => `呼叫时限 ${left}`,
  notified: (left) => `${left} 后自动结案`,
  attention: (left) => `${left} 后自动转110`,
};

export class CaseCard {
  // `open(case)` shows the file; `act(name, case)` does something with it, null where nothing may be done.
  constructor(item, { user, open, act }) {
    this.item = item;
    this.user = user;
    this.act = act;
    this.explained = "";
    this.attempts = new Map();
    this.buttons = new Map();
    const id = newId("case");
    this.plate = plateBadge(item);
    this.status = h("span", { class: "status" });
    this.deadline = h("span", { class: "deadline" });
    this.headline = h("div", { class: "headline", "aria-atomic": "true" }, h("h3", { id }, this.plate.element), this.status);
    this.reason = h("p", { class: "reason" });
    this.facts = h("p", { class: "facts" });
    this.words = h("p", { class: "words" });
    this.calls = h("ol", { class: "calls", "aria-label": "呼叫记录" });
    this.mistake = h("p", { class: "mistake", role: "alert" });
    this.file = h("button", { type: "button", class: "quiet", click: () => open(this.item) }, "案件记录");
    this.actions = h("div", { class: "actions" }, this.file);
    this.element = h(
      "article",
      { class: "case", "aria-labelledby": id },
      h("header", {}, this.headline, this.deadline),
      this.actions,
      h("div", { class: "about" }, this.reason, this.facts, this.words, this.calls, this.mistake),
    );
    this.update(item);
  }

  update(item) {
    // A refusal that named this very status still explains what is seen.
    if (item.status !== this.item.status && item.status !== this.explained) setText(this.mistake, "");
    this.item = item;
    this.element.dataset.status = item.status;
    // Read out what becomes of one's own cases and what needs a person; a busy floor would never be silent.
    const matters = item.operator === this.user.name || item.status === "attention";
    this.headline.setAttribute("aria-live", matters ? "polite" : "off");
    this.plate.update(item);
    setText(this.status, say(STATUSES, item.status));
    setText(this.reason, reasonOf(item));
    const { owner } = item;
    setText(
      this.facts,
      [
        item.location,
        `来电 ${item.requester_phone}`,
        owner.phone ? `车主 ${owner.name ?? ""} ${owner.phone}` : "",
        `${item.operator} ${when(item.created_at)}`,
        item.number,
      ]
        .filter(Boolean)
        .join(" · "),
    );
    setText(this.words, [item.situation, item.note].filter(Boolean).join(" · "));
    this.updateCalls();
    this.updateButtons();
    this.tick();
  }

  tick() {
    const words = DEADLINES[this.item.status];
    const left = Date.parse(this.item.deadline_at) - now();
    setText(this.deadline, words && !Number.isNaN(left) ? words(span(left)) : "");
    this.deadline.classList.toggle("soon", left < 60_000);
  }

  updateCalls() {
    const wanted = this.item.attempts.map((attempt, index) => {
      const call = this.attempts.get(attempt.id) ?? h("li");
      this.attempts.set(attempt.id, call);
      call.dataset.outcome = attempt.outcome ?? attempt.state;
      const moment = attempt.dialed_at ? ` ${when(attempt.dialed_at)}` : "";
      setText(call, `第${index + 1}次${moment} ${callWords(attempt)}`);
      return call;
    });
    arrange(this.calls, wanted);
    this.calls.hidden = !wanted.length;
  }

  updateButtons() {
    const likeliest = firstChoice(this.item);
    const wanted = (this.act ? actionsFor(this.item) : []).map((name) => {
      const button = this.buttons.get(name) ?? this.makeButton(name);
      this.buttons.set(name, button);
      button.classList.toggle("primary", name === likeliest);
      return button;
    });
    const focused = document.activeElement;
    arrange(this.actions, [...wanted, this.file]);
    if (focused !== document.activeElement && !focused.isConnected) this.file.focus();
  }

  makeButton(name) {
    const press = async (event) => {
      // The second click of a double click was meant for what the first one has already done.
      if (event.detail > 1) return;
      setText(this.mistake, "");
      try {
        await this.act(name, this.item);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        this.explained = problem.document.case_status;
        setText(this.mistake, explained(problem).text);
      }
    };
    return h("button", { type: "button", "data-action": name, click: press }, ACTIONS[name].label);
  }
}

export function callWords(attempt) {
  if (attempt.bridged_at) return attempt.ended_at ? "已与坐席通话" : "正与坐席通话";
  if (!attempt.outcome) return say(ATTEMPT_STATES, attempt.state);
  const why = attempt.outcome === "withheld" && attempt.reason;
  return say(ATTEMPT_OUTCOMES, attempt.outcome) + (why ? `：${say(WITHHELD_REASONS, why)}` : "");
}

function reasonOf(item) {
  if (item.status === "attention") return say(ATTENTION_REASONS, item.attention_reason);
  const { escalation } = item;
  if (escalation && (item.status === "escalated" || item.status === "handed_over")) {
    return `${say(ESCALATION_REASONS, escalation.reason)} · 110${say(ESCALATION_STATUSES, escalation.status)}`;
  }
  return item.outcome ? say(CASE_OUTCOMES, item.outcome) : "";
}
