// What was found that a person has to look at, open until somebody says what it was.

import { submit } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { Field, input, plain, select } from "./form.js";
import { listPage } from "./list.js";
import { full } from "./time.js";
import { INCIDENT_DETAILS, INCIDENT_KINDS, actor, say } from "./words.js";

const STATUSES = { open: "未处理", closed: "已关闭" };

export function incidentsPage({ user }) {
  const mayClose = user.role === "supervisor";
  const status = new Field({ name: "status", label: "状态", optional: true, control: select(STATUSES, "全部") });
  status.value = "open";
  return listPage({
    label: "异常",
    path: "/incidents",
    fields: [status, new Field({ name: "kind", label: "类型", optional: true, control: select(INCIDENT_KINDS, "全部") })],
    columns: ["发现时间", "类型", "对象", "详情", "状态", "处理"],
    cells: (incident, show) => [
      full(incident.opened_at),
      say(INCIDENT_KINDS, incident.kind),
      h("code", {}, incident.subject),
      detailWords(incident.detail),
      h("span", { class: "status", "data-incident": incident.status }, say(STATUSES, incident.status)),
      closeCell(incident, show),
    ],
    nothing: "没有符合条件的异常。",
    button: "刷新",
    fresh: true,
  });

  function closeCell(incident, show) {
    if (incident.status === "closed") {
      return [full(incident.closed_at), actor(incident.closed_by), incident.note].filter(Boolean).join(" · ");
    }
    return mayClose ? h("button", { type: "button", click: () => close(incident, show) }, "关闭") : "—";
  }
}

function close(incident, show) {
  ask({
    title: `关闭异常 · ${say(INCIDENT_KINDS, incident.kind)}`,
    about: `${full(incident.opened_at)}　${incident.subject}`,
    fields: [
      new Field({ name: "note", label: "核查结果", control: input({ maxlength: 200, placeholder: "如：已与交换机日志核对，属测试呼叫" }) }),
    ],
    button: "关闭异常",
    missing: { note: "请写明核查结果" },
    send: async ({ note }) => show((await submit(`/incidents/${incident.id}/close`, { note: plain(note) })).data),
  });
}

export function detailWords(detail) {
  return Object.entries(detail ?? {})
    .map(([name, value]) => `${say(INCIDENT_DETAILS, name)}：${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("，");
}
