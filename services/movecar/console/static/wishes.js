// Owners who do not want to be called by a machine, and lifting that when they change their minds.

import { submit } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { Field, input, plain, select } from "./form.js";
import { listPage } from "./list.js";
import { full } from "./time.js";
import { actor } from "./words.js";

export function wishesPage({ user }) {
  const mayLift = user.role === "supervisor";
  return listPage({
    label: "勿自动呼叫名单",
    path: "/no-machine-calls",
    fields: [new Field({ name: "active", label: "状态", optional: true, control: select({ true: "有效", false: "已解除" }, "全部") })],
    columns: ["登记时间", "登记人", "原因", "号码数", "状态", "解除"],
    cells: (wish, show) => [
      full(wish.asked_at),
      actor(wish.asked_by),
      wish.note,
      `${wish.numbers} 个`,
      wish.lifted_at ? "已解除" : "有效",
      liftCell(wish, show),
    ],
    nothing: "没有车主要求不用自动呼叫。",
    button: "刷新",
    fresh: true,
  });

  function liftCell(wish, show) {
    if (wish.lifted_at) return [full(wish.lifted_at), actor(wish.lifted_by), wish.lift_note].filter(Boolean).join(" · ");
    return mayLift ? h("button", { type: "button", click: () => lift(wish, show) }, "解除") : "—";
  }
}

function lift(wish, show) {
  ask({
    title: "恢复自动呼叫",
    about: `${full(wish.asked_at)} 登记：${wish.note}`,
    fields: [
      new Field({ name: "note", label: "解除原因", control: input({ maxlength: 1000, placeholder: "如：车主来电同意恢复" }) }),
    ],
    button: "解除",
    missing: { note: "请填写解除原因" },
    send: async ({ note }) => show((await submit(`/no-machine-calls/${wish.id}/lift`, { note: plain(note) })).data),
  });
}
