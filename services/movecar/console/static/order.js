// When to rearrange a list of things with buttons on them.

const HOLD_MS = 1000;
const LONGEST_HOLD_MS = 1500;

// Calls `arrange` soon after a request, once for many requests of one moment. While the mouse moves over `list`
// it waits a little, so that no button slides under a press that was meant for another, but never for long; a
// press that has begun is always let finish.
export class Order {
  constructor(list, arrange) {
    this.arrange = arrange;
    this.moved = -Infinity;
    this.asked = null;
    this.pressed = false;
    this.timer = 0;
    this.released = () => {
      this.pressed = false;
      if (this.asked !== null) this.request();
    };
    list.addEventListener("pointermove", () => {
      this.moved = performance.now();
    });
    list.addEventListener("pointerdown", () => {
      this.pressed = true;
      clearTimeout(this.timer);
    });
    for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, this.released);
  }

  request() {
    this.asked ??= performance.now();
    clearTimeout(this.timer);
    if (this.pressed) return;
    const until = Math.min(this.moved + HOLD_MS, this.asked + LONGEST_HOLD_MS);
    const held = until - performance.now();
    // A click comes right after the release of its press: not before the next turn at the earliest.
    this.timer = held > 0 ? setTimeout(() => this.request(), held) : setTimeout(() => this.now(), 0);
  }

  now() {
    clearTimeout(this.timer);
    this.asked = null;
    this.arrange();
  }

  close() {
    clearTimeout(this.timer);
    for (const end of ["pointerup", "pointercancel"]) document.removeEventListener(end, this.released);
  }
}
