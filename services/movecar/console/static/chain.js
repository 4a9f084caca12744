// What was done while nobody at the desk answered, and what comes next.

import { Problem, get } from "./api.js";
import { h, setText } from "./dom.js";
import { now, span, when } from "./time.js";
import { CHAIN_STEPS, DESK_CALL_OUTCOMES, say } from "./words.js";

const SAME_MS = 1000;

// Opens to the chain of one escalation; it is read when opened, and with every piece of news from then on.
export class Chain {
  constructor(id) {
    this.id = id;
    this.turn = 0;
    this.chain = null;
    this.next = h("p", { class: "next-step" });
    this.list = h("ol", { class: "history" });
    this.mistake = h("p", { class: "mistake", role: "alert" });
    this.element = h(
      "details",
      { class: "chain", toggle: () => this.refresh() },
      h("summary", {}, "催办经过"),
      this.next,
      this.list,
      this.mistake,
    );
  }

  async refresh() {
    if (!this.element.open) return;
    this.turn += 1;
    const mine = this.turn;
    try {
      const { data } = await get(`/escalations/${this.id}/chain`);
      if (mine !== this.turn) return;
      setText(this.mistake, "");
      this.show(data);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (mine === this.turn) setText(this.mistake, `未能读取催办经过：${problem.text}`);
    }
  }

  show(chain) {
    this.chain = chain;
    // A call says itself that it was made, and how it ended.
    const steps = chain.steps.filter((step) => step.step !== "call" || !chain.calls.some((call) => madeBy(step, call))).map(({ step, taken_at: at }) => ({ at, title: say(CHAIN_STEPS, step), more: [] }));
    const calls = chain.calls.map((call) => ({ at: call.dialed_at ?? call.queued_at, title: callTitle(call), more: callWords(call) }));
    const all = [...steps, ...calls].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
    this.list.replaceChildren(
      ...all.map(({ at, title, more }) =>
        h("li", {}, h("time", { datetime: at }, when(at)), h("div", {}, h("strong", {}, title), more.length ? h("p", {}, more.join(" · ")) : null)),
      ),
    );
    this.tick();
  }

  tick() {
    if (!this.chain || !this.element.open) return;
    setText(this.next, nextWords(this.chain));
  }
}

function nextWords(chain) {
  const nothing = chain.steps.length || chain.calls.length ? "" : "尚未催办。";
  if (!chain.next_step_at) return nothing;
  const left = Date.parse(chain.next_step_at) - now();
  const what = chain.status === "acknowledged" ? "未登记处置结果将重新上报" : `下一步：${say(CHAIN_STEPS, nextStep(chain))}`;
  const moment = left > 0 ? `${span(left)} 后` : "即将执行";
  return `${nothing}${what}，${when(chain.next_step_at)}（${moment}）`;
}

// The policy says it: its stages in order, then the call again and again. Only steps of this round count.
function nextStep({ policy, steps, waits_from: from }) {
  const taken = steps.filter((taken) => taken.step !== "raise_again" && Date.parse(taken.taken_at) >= Date.parse(from)).length;
  return policy?.stages[taken]?.step ?? "call";
}

function madeBy(step, call) {
  return Math.abs(Date.parse(call.queued_at) - Date.parse(step.taken_at)) < SAME_MS;
}

function callTitle({ outcome, ended_at: ended }) {
  if (outcome) return `电话呼叫接警台：${say(DESK_CALL_OUTCOMES, outcome)}`;
  return ended ? "电话呼叫接警台：已无需呼叫" : "电话呼叫接警台：进行中";
}

function callWords({ answered_at: answered, key, key_at: keyed, ended_at: ended }) {
  return [
    answered && `${when(answered)} 接听`,
    keyed && `${when(keyed)} 按 ${key} 键`,
    ended && `${when(ended)} 结束`,
  ].filter(Boolean);
}
