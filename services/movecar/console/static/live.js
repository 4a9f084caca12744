// The open cases, kept up to date by the live stream.

import { Problem, get, getAll } from "./api.js";
import { follow } from "./stream.js";

export const OPEN = ["looking_up", "calling", "notified", "attention", "escalated", "handed_over"];
const SILENCE_MS = 40_000; // the server pings every 15 s

export class LiveCases {
  // `onChange(case)` for every case that is new or different; `onLoaded()` after all open ones were read.
  constructor({ onChange, onLoaded, onState, onProblem }) {
    this.cases = new Map();
    this.onChange = onChange;
    this.onLoaded = onLoaded;
    this.onProblem = onProblem;
    this.heard = new Map();
    this.count = 0;
    this.loads = 0;
    this.load();
    this.close = follow({
      start: () => "/events",
      onItem: ({ data }) => {
        this.count += 1;
        this.heard.set(data.id, this.count);
        this.take(data);
      },
      onOpen: () => this.load(),
      onState,
      silence: SILENCE_MS,
    });
  }

  // Where the stream is: to be given with an answer that was asked for now.
  mark() {
    return this.count;
  }

  // Take an answer, unless the stream has told of the case since it was asked for: then that is newer.
  offer(item, mark) {
    if ((this.heard.get(item.id) ?? 0) <= mark) this.take(item);
  }

  take(item) {
    this.cases.set(item.id, item);
    this.onChange(item);
  }

  forget(id) {
    this.cases.delete(id);
    this.heard.delete(id);
  }

  // Read all open cases, and those that were open and are not any more.
  async load() {
    this.loads += 1;
    const turn = this.loads;
    const mark = this.mark();
    try {
      const lists = await Promise.all(OPEN.map((status) => getAll("/cases", { status })));
      const found = new Map(lists.flat().map((item) => [item.id, item]));
      const gone = [...this.cases.values()].filter((item) => OPEN.includes(item.status) && !found.has(item.id));
      const answers = await Promise.all(gone.map((item) => get(`/cases/${item.id}`)));
      for (const { data } of answers) found.set(data.id, data);
      if (turn !== this.loads) return;
      for (const item of found.values()) this.offer(item, mark);
      this.onLoaded();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      // Without a connection the stream says so, and reads again when it is back.
      if (problem.status > 0 && problem.status !== 401) this.onProblem(problem);
    }
  }
}
