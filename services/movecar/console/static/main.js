// Log in, then the page of one's role.

import { Problem, whenUnauthenticated } from "./api.js";
import { casesPage } from "./cases.js";
import { deskPage } from "./desk.js";
import { h } from "./dom.js";
import { makeFrame } from "./frame.js";
import { loginPage } from "./login.js";
import { scriptsPage } from "./scripts.js";
import { logOut, restore } from "./session.js";
import { now } from "./time.js";

const TITLES = {
  operator: "坐席",
  supervisor: "值班",
  auditor: "审计",
  desk: "110接警台",
  admin: "管理",
};
const PAGES = { operator: casesPage, supervisor: casesPage, auditor: casesPage, desk: deskPage, admin: adminPage };
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const root = document.getElementById("page");
let config;
let close = () => {};

function show(...elements) {
  root.replaceChildren(...elements);
}

function askLogIn(notice) {
  close();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  document.title = "登录 · 114 挪车";
  const page = loginPage({ notice, entered: enter });
  close = page.close;
  show(page.element);
  page.focus();
}

function enter({ user, expires }) {
  close();
  const expired = () => askLogIn("登录已过期，请重新登录。");
  const frame = makeFrame({
    user,
    title: TITLES[user.role],
    logOut: async () => {
      try {
        await logOut();
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        // Without an answer the session goes on there: say so rather than pretend.
        if (problem.status !== 401) {
          askLogIn(`未能退出：${problem.text}`);
          return;
        }
      }
      askLogIn();
    },
  });
  frame.setTitle(TITLES[user.role]);
  const page = PAGES[user.role]({ user, config, frame });
  const timer = setTimeout(expired, Math.min(expires - now(), LONGEST_TIMER_MS));
  whenUnauthenticated(expired);
  close = () => {
    clearTimeout(timer);
    whenUnauthenticated(() => {});
    page.close();
    frame.close();
  };
  show(h("a", { class: "skip", href: "#main" }, "跳到内容"), frame.element, page.element);
}

function adminPage({ user, frame }) {
  const element = h("main", { id: "main" });
  frame.setTabs(element, [{ name: "scripts", label: "话术", ...scriptsPage({ user }) }]);
  return { element, close: () => {} };
}

async function begin() {
  config = await (await fetch("/console/config.json")).json();
  document.getElementById("demo").hidden = !config.demo;
  try {
    const session = await restore();
    if (session) enter(session);
    else askLogIn();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    askLogIn(problem.text);
  }
}

begin();
