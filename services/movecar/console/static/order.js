// When to rearrange a list of things with buttons on them.

const HOLD_MS = 1000;
const LONGEST_HOLD_MS = 1500;

// Calls `arrange` soon after a request, once for many requests of one moment. While the mouse moves over `list`
// it waits a little, so that no button slides under a press that was meant for another, but never for long.
export class Order {
  constructor(list, arrange) {
    this.arrange = arrange;
    this.moved = -Infinity;
    this.asked = null;
    this.timer = 0;
    list.addEventListener("pointermove", () => {
      this.moved = performance.now();
    });
  }

  request() {
    this.asked ??= performance.now();
    clearTimeout(this.timer);
    const until = Math.min(this.moved + HOLD_MS, this.asked + LONGEST_HOLD_MS);
    const held = until - performance.now();
    if (held > 0) this.timer = setTimeout(() => this.request(), held);
    else this.timer = setTimeout(() => this.now(), 0);
  }

  now() {
    clearTimeout(this.timer);
    this.asked = null;
    this.arrange();
  }

  close() {
    clearTimeout(this.timer);
  }
}
