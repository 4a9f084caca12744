// What is around every page: name, tabs, connection, clock, who is logged in.

import { arrange, h, setText } from "./dom.js";
import { clock, now } from "./time.js";
import { ROLES, say } from "./words.js";

const CONNECTION = { connecting: "正在连接…", live: "实时", lost: "离线" };

export function makeFrame({ user, title, logOut }) {
  const tabs = h("nav", { class: "tabs", "aria-label": "页面" });
  const connection = h("span", { class: "connection" });
  const lost = h(
    "p",
    { class: "lost", role: "alert", hidden: true },
    "连接中断，正在重连。此刻看到的可能不是最新情况。",
  );
  const time = h("span", { class: "clock" });
  const extra = h("div", { class: "extra" });
  const news = h("div", { class: "news" });
  const tell = () => setText(time, clock(now()));
  const ticking = setInterval(tell, 1000);
  tell();

  const element = h(
    "header",
    { class: "frame" },
    h(
      "div",
      { class: "bar" },
      h("h1", {}, "114 挪车", h("span", {}, title)),
      tabs,
      extra,
      connection,
      time,
      h("span", { class: "who" }, `${user.name} · ${say(ROLES, user.role)}`),
      h("button", { type: "button", class: "quiet", click: logOut }, "退出"),
    ),
    lost,
    news,
  );

  return {
    element,
    extra,
    news,
    close: () => clearInterval(ticking),
    setTitle: (text) => {
      document.title = `${text} · 114 挪车`;
    },
    setConnection: (state) => {
      connection.dataset.state = state;
      setText(connection, CONNECTION[state]);
      lost.hidden = state !== "lost";
    },
    // Put one of several pages into `place`; the choice survives a reload in the address.
    setTabs: (place, pages) => {
      const select = (name) => {
        for (const page of pages) {
          if (page.name === name) page.button.setAttribute("aria-current", "page");
          else page.button.removeAttribute("aria-current");
        }
        const chosen = pages.find((page) => page.name === name);
        arrange(place, [chosen.element]);
        history.replaceState(null, "", `#${name}`);
        // The place itself may still be on its way into the document.
        queueMicrotask(chosen.focus);
      };
      for (const page of pages) {
        page.button = h("button", { type: "button", click: () => select(page.name) }, page.label);
        tabs.append(page.button);
      }
      const wanted = pages.find((page) => `#${page.name}` === location.hash) ?? pages[0];
      select(wanted.name);
      return { select };
    },
  };
}
