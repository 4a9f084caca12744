// How far this page has come in the feed, kept by the server: the proof that the desk was given an item.

import { Problem, send } from "./api.js";

const SOON_MS = 300;
const AGAIN_MS = 5000;

export function keepPlace() {
  let reached = 0;
  let kept = 0;
  let timer = 0;

  async function keep() {
    const seq = reached;
    let wait = SOON_MS;
    try {
      await send("PUT", "/feed/readers/console", { body: { seq } });
      kept = seq;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      wait = AGAIN_MS; // the stream says what is wrong
    }
    timer = timer && reached > kept ? setTimeout(keep, wait) : 0;
  }

  return {
    at: (seq) => {
      reached = Math.max(reached, seq);
      if (reached > kept) timer ||= setTimeout(keep, SOON_MS);
    },
    close: () => {
      clearTimeout(timer);
      timer = 0;
    },
  };
}
