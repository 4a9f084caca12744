// A live stream of server-sent events that notices when the line has died.
//
// The browser's EventSource hides three things a dispatch console must know: the server's pings (a pulled cable
// looks like a quiet night), the status of a refusal (a log-in that ended), and the last id once it has given up.

import { API, unauthenticated } from "./api.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

// `start()` gives the path when there is nothing to resume from; `onOpen` runs after every connection, so that
// whatever was missed can be read again; `onState` hears "connecting", "live" and "lost". The server pings more
// often than `silence` milliseconds. Returns a function that ends it.
export function follow({ start, onItem, onOpen, onState, silence }) {
  const ended = new AbortController();
  run({ start, onItem, onOpen, onState, silence, ended: ended.signal });
  return () => ended.abort();
}

async function run({ start, onItem, onOpen, onState, silence, ended }) {
  let last = null;
  let wait = FIRST_WAIT_MS;
  onState("connecting");
  while (!ended.aborted) {
    const connection = new AbortController();
    const end = () => connection.abort();
    ended.addEventListener("abort", end);
    let watchdog = setTimeout(end, silence);
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const response = await fetch(API + (await start()), { headers, signal: connection.signal });
      if (response.status === 401) {
        unauthenticated();
        return;
      }
      if (!response.ok) {
        // The number we resume from is unknown there: the database is another one. Begin again.
        if (response.status === 422) last = null;
        throw new Error(`status ${response.status}`);
      }
      onState("live");
      onOpen();
      wait = FIRST_WAIT_MS;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        clearTimeout(watchdog);
        watchdog = setTimeout(end, silence);
        const blocks = (buffer + value).split(/\r?\n\r?\n/);
        buffer = blocks.pop();
        for (const block of blocks) {
          const { id, data } = read(block);
          if (data) onItem(JSON.parse(data));
          // Only what was dealt with counts as seen.
          if (id) last = id;
        }
      }
    } catch (error) {
      if (!connection.signal.aborted) console.info("stream:", error.message);
    } finally {
      clearTimeout(watchdog);
      ended.removeEventListener("abort", end);
    }
    if (ended.aborted) return;
    onState("lost");
    await pause(wait * (0.75 + Math.random() / 2), ended);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

function read(block) {
  const found = { id: "", data: "" };
  for (const line of block.split(/\r?\n/)) {
    const match = /^(id|data): ?(.*)$/.exec(line);
    if (match) found[match[1]] += match[2];
  }
  return found;
}

// Until the time is over, the network is back or the stream is ended.
function pause(milliseconds, ended) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      ended.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    window.addEventListener("online", done);
    ended.addEventListener("abort", done);
  });
}
