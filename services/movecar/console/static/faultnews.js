// Faults across the top of every page: what is down, since when, and by when the desk must have been told.

import { Problem, get } from "./api.js";
import { arrange, h, setText } from "./dom.js";
import { now, span, when } from "./time.js";

const OVER = "fault.recovered";
const OPEN = ["fault.opened", "fault.overrun"];

export class FaultNews {
  // `wanted(fault)` tells which of the faults that are open concern this page.
  constructor(place, { wanted = (fault) => fault.downtime !== false && !fault.drill, changed = () => {} } = {}) {
    this.place = place;
    this.wanted = wanted;
    this.changed = changed;
    this.banners = new Map();
    this.heard = new Set();
  }

  // An item of the feed. A newer server may send types and fields this page does not know.
  hear(type, data) {
    const id = data.fault_id ?? data.id ?? type;
    this.heard.add(id);
    this.show(id, type, data);
    this.changed();
  }

  // Read which faults are open: what was missed, and what was known before this page began.
  async load() {
    this.heard.clear();
    try {
      const { data } = await get("/faults", { status: "open", limit: 200 });
      const found = new Map(data.items.filter(this.wanted).map((fault) => [fault.id, fault]));
      for (const [id, banner] of this.banners) {
        if (OPEN.includes(banner.type) && !found.has(id) && !this.heard.has(id)) this.banners.delete(id);
      }
      for (const [id, fault] of found) {
        const known = this.banners.get(id);
        if (!this.heard.has(id)) this.show(id, known?.type ?? OPEN[0], { ...known?.data, ...fault });
      }
      this.arrange();
    } catch (problem) {
      // Its own page says why it cannot be read; what is known stays here.
      if (!(problem instanceof Problem)) throw problem;
    }
  }

  show(id, type, data) {
    const banner = this.banners.get(id) ?? this.make(id);
    banner.type = type;
    banner.data = data;
    banner.element.dataset.type = type;
    banner.element.classList.toggle("harmless", data.downtime === false);
    banner.dismiss.hidden = OPEN.includes(type);
    setText(banner.words, words(type, data));
    this.banners.set(id, banner);
    this.tick();
    this.arrange();
  }

  make(id) {
    const words = h("span", { role: "alert" });
    const time = h("span", { class: "since" });
    const dismiss = h(
      "button",
      {
        type: "button",
        click: () => {
          this.banners.delete(id);
          this.arrange();
        },
      },
      "知道了",
    );
    return { words, time, dismiss, element: h("div", { class: "fault-news" }, words, time, dismiss) };
  }

  arrange() {
    const open = [...this.banners.values()].sort((a, b) => OPEN.includes(b.type) - OPEN.includes(a.type));
    arrange(this.place, open.map((banner) => banner.element));
  }

  // The running time is outside what is read aloud: it would be read every second.
  tick() {
    for (const { type, data, time } of this.banners.values()) {
      const began = Date.parse(data.began_at);
      setText(time, OPEN.includes(type) && !Number.isNaN(began) ? `已 ${span(now() - began)}` : "");
    }
  }
}

function words(type, data) {
  const name = `${data.drill ? "【演练】" : ""}${data.title ?? data.component ?? "未知部件"}${data.planned ? "（计划内维护）" : ""}`;
  const reason = data.reason ? `，${data.reason}` : "";
  if (OPEN.includes(type)) {
    const due = data.due_at ? `，须在 ${when(data.due_at)} 前通知110` : "";
    return `${type === OPEN[0] ? "故障" : "维护超时"}：${name}，自 ${when(data.began_at)} 起${reason}${due}`;
  }
  if (type === OVER) {
    const lasted = typeof data.seconds === "number" ? `，持续 ${span(data.seconds * 1000)}` : "";
    return `已恢复：${name}，${when(data.began_at)} 至 ${when(data.recovered_at)}${lasted}。${data.lost ?? ""}`;
  }
  return typeof data.text === "string" ? data.text : `${name}${reason}`;
}
