// Calls of the API: the cookie says who we are, the CSRF value that it was this page that asked.

import { learnServerTime } from "./time.js";

export const API = "/api/v1";
const PATIENCE_MS = 15_000;

let csrf = "";
let onUnauthenticated = () => {};
const pending = new Map();

export class Problem extends Error {
  constructor(status, document) {
    super(document.title);
    this.status = status;
    this.code = document.code;
    this.title = document.title;
    this.detail = document.detail ?? "";
    this.errors = document.errors ?? [];
    this.document = document;
  }

  get text() {
    return this.detail ? `${this.title}：${this.detail}` : this.title;
  }
}

export function useCsrf(value) {
  csrf = value;
}

export function whenUnauthenticated(act) {
  onUnauthenticated = act;
}

export function unauthenticated() {
  onUnauthenticated();
}

export async function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const search = new URLSearchParams(given).toString();
  return send("GET", search ? `${path}?${search}` : path);
}

export async function send(method, path, { body, key, range, quiet = false } = {}) {
  const headers = {};
  if (range) headers.Range = range;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && csrf) headers["X-Movecar-CSRF"] = csrf;
  if (key) headers["Idempotency-Key"] = key;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  let response;
  let text;
  try {
    response = await fetch(API + path, { method, headers, signal, body: body && JSON.stringify(body) });
    text = await response.text();
  } catch {
    throw new Problem(0, { code: "no_answer", title: "服务器没有应答，请检查网络后重试" });
  }
  learnServerTime(response.headers.get("Date"));
  const document = parse(text);
  if (response.ok) return { status: response.status, data: document };
  if (response.status === 401 && !quiet) onUnauthenticated();
  throw new Problem(response.status, document ?? { code: "unreadable", title: `服务器出错（${response.status}）` });
}

// A change, sent so that it happens once: the same request while it is under way shares its answer, and one that
// got no answer is repeated under the same key.
export function submit(path, body) {
  const digest = `${path} ${JSON.stringify(body ?? null)}`;
  const earlier = pending.get(digest);
  if (earlier?.answer) return earlier.answer;
  const entry = { key: earlier?.key ?? newKey() };
  entry.answer = send("POST", path, { body, key: entry.key }).then(
    (answer) => {
      pending.delete(digest);
      return answer;
    },
    (problem) => {
      entry.answer = null;
      if (problem.status > 0 && problem.status < 500) pending.delete(digest);
      throw problem;
    },
  );
  pending.set(digest, entry);
  return entry.answer;
}

// Why a file that is no document could not be had, in the server's words.
export async function reasonFor(path) {
  try {
    await send("GET", path, { range: "bytes=0-0" });
    return "浏览器无法播放此文件";
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return problem.text;
  }
}

// Every page of a list.
export async function getAll(path, query) {
  const items = [];
  let cursor;
  do {
    const { data } = await get(path, { ...query, limit: 200, cursor });
    items.push(...data.items);
    cursor = data.next;
  } while (cursor);
  return items;
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

// crypto.randomUUID is missing on http:// addresses other than this machine's own.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
