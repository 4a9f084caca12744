// What an operator can do with a case, by its status.

import { Problem, submit } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { Choice, Field, input, plain, select } from "./form.js";
import { COLORS, ESCALATION_REASONS, STATUSES, say } from "./words.js";

export const ACTIONS = {
  "confirm-moved": { label: "已挪开", statuses: ["notified"], act: direct },
  "answer-agreed": { label: "车主同意", ...answer("agreed") },
  "answer-disputed": { label: "车主有异议", ...answer("disputed") },
  "answer-refused": { label: "车主不挪", ...answer("refused") },
  redial: { label: "重拨", statuses: ["attention"], act: direct },
  "correct-plate": { label: "更正车牌", statuses: ["attention"], act: correctPlate },
  "still-blocked": { label: "仍被堵", statuses: ["notified"], act: direct },
  escalate: { label: "转110", statuses: ["looking_up", "calling", "notified", "attention"], act: escalate },
  "hand-over": { label: "请110加入通话", statuses: ["escalated", "handed_over"], when: talking, act: direct },
  "no-machine-calls": {
    label: "勿自动呼叫",
    statuses: ["calling", "notified", "attention", "escalated", "handed_over"],
    act: declineMachine,
  },
  withdraw: {
    label: "撤销",
    statuses: ["looking_up", "calling", "notified", "attention", "escalated", "handed_over"],
    act: withdraw,
  },
};

const FIRST_CHOICE = {
  not_found: "correct-plate",
  ambiguous_color: "correct-plate",
  special_plate: "escalate",
  registry_unavailable: "redial",
  no_numbers: "escalate",
  wanted_operator: "redial",
  call_withheld: "escalate",
  call_failed: "redial",
};

export function actionsFor(item) {
  const { status, attention_reason: reason } = item;
  return Object.keys(ACTIONS).filter((name) => {
    const { statuses, reasons, when = () => true } = ACTIONS[name];
    return statuses.includes(status) && (!reasons || reasons.includes(reason)) && when(item);
  });
}

// The likeliest next step. None where a person must think first: nobody rings an owner twice by habit.
export function firstChoice(item) {
  if (item.status === "notified") return "confirm-moved";
  const talked = item.attempts.at(-1)?.bridged_at;
  return talked ? undefined : FIRST_CHOICE[item.attention_reason];
}

// Whether the owner is connected to the operator now.
function talking(item) {
  return item.attempts.some((attempt) => attempt.bridged_at && !attempt.ended_at);
}

async function direct(name, item) {
  return (await submit(`/cases/${item.id}/${name}`)).data;
}

// What the owner said to the operator on the telephone.
function answer(said) {
  return {
    statuses: ["attention"],
    reasons: ["wanted_operator"],
    act: async (_, item) => (await submit(`/cases/${item.id}/record-answer`, { answer: said })).data,
  };
}

function dialogAction(name, item, { title, fields, button, body, missing, refused }) {
  return new Promise((resolve) => {
    ask({
      title: `${title} · ${item.plate}`,
      about: `${item.number}　${item.location}`,
      fields,
      button,
      missing,
      refused,
      send: async (values) => {
        try {
          resolve((await submit(`/cases/${item.id}/${name}`, body(values))).data);
        } catch (problem) {
          throw explained(problem);
        }
      },
    });
  });
}

function correctPlate(name, item) {
  const plate = plateField();
  plate.value = item.plate;
  const color = new Field({
    name: "plate_color",
    label: "车牌颜色",
    optional: item.attention_reason !== "ambiguous_color",
    control: select(COLORS, "不指定"),
  });
  return dialogAction(name, item, {
    title: "更正车牌",
    fields: item.attention_reason === "ambiguous_color" ? [color, plate] : [plate, color],
    button: "更正并重新查询",
    body: (values) => ({ plate: values.plate, plate_color: values.plate_color || null }),
    missing: { plate_color: "同号有多辆车，请选择颜色" },
    refused: (problem) => offerSuggestion(plate, problem),
  });
}

function withdraw(name, item) {
  const note = new Field({
    name: "note",
    label: "撤销原因",
    optional: true,
    control: input({ maxlength: 1000, placeholder: "如：来电人称车已开走" }),
  });
  return dialogAction(name, item, {
    title: "撤销案件",
    fields: [note],
    button: "撤销案件",
    body: (values) => ({ note: plain(values.note) }),
  });
}

function declineMachine(name, item) {
  const note = new Field({
    name: "note",
    label: "登记原因",
    control: input({ maxlength: 1000, placeholder: "如：车主来电要求不要再自动呼叫" }),
  });
  return dialogAction(name, item, {
    title: "车主要求不用自动呼叫",
    fields: [note],
    button: "登记",
    body: (values) => ({ note: plain(values.note) }),
    missing: { note: "请填写登记原因" },
  });
}

function escalate(name, item) {
  const reason = new Choice({ name: "reason", label: "原因", options: ESCALATION_REASONS });
  const note = new Field({
    name: "note",
    label: "告知110的情况",
    optional: true,
    control: input({ maxlength: 1000 }),
  });
  return dialogAction(name, item, {
    title: "转110处置",
    fields: [reason, note],
    button: "转110",
    body: (values) => ({ reason: values.reason, note: plain(values.note) }),
    missing: { reason: "请选择转110的原因" },
  });
}

export function plateField(attributes = {}) {
  return new Field({
    name: "plate",
    label: "车牌号",
    control: input({ maxlength: 32, autocapitalize: "characters", class: "plate-input", ...attributes }),
  });
}

// Where O or I look wrong the server names the plate that may have been meant; a person decides.
export function offerSuggestion(field, problem) {
  const { suggestion } = problem.document;
  if (!suggestion) return;
  const accept = () => {
    field.value = suggestion;
    field.clear();
    field.focus();
  };
  field.remedy.replaceChildren(
    h("button", { type: "button", class: "suggestion", click: accept }, `改为 ${suggestion}`),
  );
}

// A refusal with what it says about the case's present state.
export function explained(problem) {
  if (!(problem instanceof Problem)) return problem;
  const { case_status: status, number } = problem.document;
  if (status) problem.detail = `现为“${say(STATUSES, status)}”`;
  if (problem.code === "plate_already_open" && number) problem.detail = number;
  return problem;
}
