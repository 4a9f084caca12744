// Call scripts under written notice: drafted by one person, approved by another, in force at their time (B3).

import { API, Problem, get, submit } from "./api.js";
import { ask } from "./dialog.js";
import { factList, openDrawer } from "./drawer.js";
import { h, setText } from "./dom.js";
import { Field, input, moment, plain } from "./form.js";
import { listPage } from "./list.js";
import { day, full, now, shanghai } from "./time.js";
import { SCRIPT_ACTIONS, SCRIPT_STATUSES, actor, say } from "./words.js";

const PLATE = "{plate}";
const CONTRACT = "contract"; // its own script was there from the beginning
const MOST_BYTES = 4 * 1024 * 1024;
const MEDIA = { pdf: "application/pdf", png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg" };
const MARKS = { ",": "，", ".": "。", "?": "？", "!": "！", ":": "：", ";": "；", "(": "（", ")": "）" };

export function scriptsPage({ user }) {
  const mayAct = user.role === "admin";
  const page = listPage({
    label: "呼叫话术",
    path: "/call-scripts",
    columns: ["版本", "状态", "主叫号码", "问候语", "通知文号", "生效时间", "起草", "批准", "详情"],
    cells: (script) => [
      `第 ${script.version} 版`,
      h("span", { class: "status", "data-script": script.status }, say(SCRIPT_STATUSES, script.status)),
      script.caller_id,
      script.greeting,
      script.notice_number,
      effective(script),
      actor(script.drafted_by),
      script.approved_by ? actor(script.approved_by) : "—",
      h("button", { type: "button", click: () => openScript(script, { user, changed: page.refresh }) }, "查看"),
    ],
    unit: "版",
    nothing: "还没有话术。",
    button: "刷新",
    aside: mayAct ? [h("button", { type: "button", click: () => draft(page.refresh) }, "起草新话术")] : [],
    fresh: true,
  });
  return page;
}

async function openScript({ id, version }, { user, changed }) {
  const body = openDrawer({ title: `话术 · 第 ${version} 版` });
  const mistake = h("p", { class: "mistake", role: "alert" });
  try {
    show((await get(`/call-scripts/${id}`)).data);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    setText(mistake, problem.text);
    body.replaceChildren(mistake);
  }

  function show(script) {
    const decided = (item) => {
      changed();
      show(item);
    };
    body.replaceChildren(
      ...about(script),
      ...(user.role === "admin" ? decisions(script, user, decided) : []),
      ...scanOf(script, user),
      ...historyOf(script.history ?? []),
    );
  }
}

function about(script) {
  return [
    factList([
      ["状态", say(SCRIPT_STATUSES, script.status)],
      ["主叫号码", script.caller_id],
      ["问候语", script.greeting],
      ["通知文号", script.notice_number],
      ["通知日期", script.notice_date],
      ["要求生效", script.drafted_by !== CONTRACT && full(script.effective_from)],
      ["实际生效", script.effective_at && effective(script)],
      ["起草", `${actor(script.drafted_by)} ${full(script.drafted_at)}`],
      ["批准", script.approved_at && `${actor(script.approved_by)} ${full(script.approved_at)}`],
    ]),
  ];
}

function effective(script) {
  return script.drafted_by === CONTRACT ? "合同开始时" : full(script.effective_at ?? script.effective_from);
}

function decisions(script, user, decided) {
  if (script.status !== "draft") return [];
  if (script.drafted_by === user.username) {
    const withdraw = () => decide(script, "withdraw", { title: "撤回草稿", button: "撤回草稿", label: "撤回原因" }, decided);
    return [
      h("p", { class: "hint" }, "起草人不能自己批准，请另一位管理员核对通知原件后批准。"),
      h("div", { class: "buttons" }, h("button", { type: "button", click: withdraw }, "撤回草稿")),
    ];
  }
  const reject = () => decide(script, "reject", { title: "驳回", button: "驳回", label: "驳回原因" }, decided);
  return [
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "button", class: "primary", click: () => approve(script, decided) }, "批准"),
      h("button", { type: "button", click: reject }, "驳回"),
    ),
  ];
}

function approve(script, decided) {
  ask({
    title: `批准话术 · 第 ${script.version} 版`,
    about: `主叫 ${script.caller_id}，${full(script.effective_from)} 起：${script.greeting}　批准后不可更改，请先与通知扫描件逐字核对。`,
    fields: [],
    button: "已核对，批准",
    send: async () => decided((await submit(`/call-scripts/${script.id}/approve`)).data),
  });
}

function decide(script, action, { title, button, label }, decided) {
  ask({
    title: `${title} · 第 ${script.version} 版`,
    fields: [new Field({ name: "note", label, optional: true, control: input({ maxlength: 1000 }) })],
    button,
    send: async ({ note }) => decided((await submit(`/call-scripts/${script.id}/${action}`, { note: plain(note) })).data),
  });
}

// Looking at the notice itself: a picture is shown, a PDF is taken along.
function scanOf(script, user) {
  const file = script.notice_file;
  if (!file) return [];
  const title = h("h3", {}, "通知扫描件");
  const facts = factList([["文件", `${file.name}（${Math.ceil(file.size / 1024)} KB）`], ["SHA-256", file.sha256]]);
  if (!["admin", "auditor"].includes(user.role)) return [title, facts];
  const address = `${API}/call-scripts/${script.id}/notice`;
  const picture = file.media_type === "image/png" || file.media_type === "image/jpeg";
  return [
    title,
    facts,
    picture ? h("img", { class: "scan", src: address, alt: `通知 ${script.notice_number} 的扫描件` }) : null,
    h("p", {}, h("a", { href: address, download: file.name }, "下载扫描件")),
  ].filter(Boolean);
}

function historyOf(lines) {
  const entries = lines.map((line) =>
    h(
      "li",
      {},
      h("time", { datetime: line.at }, full(line.at)),
      h("div", {}, h("strong", {}, say(SCRIPT_ACTIONS, line.action)), h("p", {}, [actor(line.by), line.detail?.note].filter(Boolean).join(" · "))),
    ),
  );
  return [h("h3", {}, "经过"), h("ol", { class: "history" }, ...entries)];
}

async function draft(done) {
  const caller = new Field({ name: "caller_id", label: "主叫号码", control: input({ maxlength: 12, inputmode: "numeric" }) });
  const greeting = new Field({
    name: "greeting",
    label: "问候语",
    hint: `车牌读在 ${PLATE} 处，须出现且只出现一次`,
    control: h("textarea", { maxlength: 200, rows: 3, spellcheck: "false" }),
  });
  const preview = h("p", { class: "hint", role: "status" });
  greeting.element.append(preview);
  greeting.control.addEventListener("input", () => setText(preview, heard(greeting.value)));
  const scan = new Field({
    name: "notice_file",
    label: "通知扫描件",
    hint: "PDF、PNG 或 JPEG，不超过 4 MiB",
    control: h("input", { type: "file", accept: ".pdf,.png,.jpg,.jpeg" }),
  });
  try {
    const { data } = await get("/call-scripts/current");
    caller.value = data.caller_id;
    greeting.value = data.greeting;
    setText(preview, heard(data.greeting));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
  }
  ask({
    title: "起草新话术",
    about: "须有指挥中心的书面通知；由另一位管理员批准后，在生效时间启用。",
    fields: [
      caller,
      greeting,
      new Field({ name: "notice_number", label: "通知文号", control: input({ maxlength: 80 }) }),
      new Field({ name: "notice_date", label: "通知日期", control: h("input", { type: "date", max: day(now()) }) }),
      new Field({ name: "effective_from", label: "生效时间", control: moment() }),
      scan,
    ],
    button: "提交草稿",
    missing: { notice_file: "请选择通知的扫描件" },
    send: async (values) => {
      await submit("/call-scripts", {
        caller_id: values.caller_id,
        greeting: spoken(values.greeting),
        notice_number: plain(values.notice_number),
        notice_date: values.notice_date,
        effective_from: shanghai(values.effective_from),
        notice_file: await upload(scan.control.files[0]),
      });
      done();
    },
  });
}

function heard(text) {
  const count = text.split(PLATE).length - 1;
  if (count !== 1) return count ? `${PLATE} 出现了 ${count} 次，只能一次` : `还没有 ${PLATE}：车牌读在哪里？`;
  return `听起来：${spoken(text).replace(PLATE, "苏D12345")}`;
}

// Half-width punctuation is refused by the server; the plate's own braces stay.
function spoken(text) {
  return text
    .split(PLATE)
    .map((part) => part.replace(/[,.?!:;()]/g, (mark) => MARKS[mark]))
    .join(PLATE);
}

async function upload(file) {
  const refuse = (message) => {
    throw new Problem(422, { code: "bad_file", title: "文件不能使用", errors: [{ field: "notice_file", message }] });
  };
  const type = MEDIA[file.name.split(".").at(-1).toLowerCase()];
  if (!type) refuse("只接受 PDF、PNG 或 JPEG 文件");
  if (file.size > MOST_BYTES) refuse(`文件有 ${(file.size / 1024 / 1024).toFixed(1)} MiB，不能超过 4 MiB`);
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Problem(0, { code: "unreadable", title: "文件读不出来，请重新选择" }));
    reader.readAsDataURL(file);
  });
  return { name: plain(file.name), media_type: type, content_base64: address.slice(address.indexOf(",") + 1) };
}
