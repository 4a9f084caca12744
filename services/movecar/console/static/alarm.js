// The desk's sound: two notes, again and again while something waits. Made by the browser, no file needed.

import { h, setText } from "./dom.js";

const KEY = "movecar.alarm";
const EVERY_MS = 4000;
const NOTES = [
  [880, 0],
  [660, 0.22],
];

export class Alarm {
  constructor() {
    this.wanted = localStorage.getItem(KEY) !== "off";
    this.waiting = false;
    this.context = null;
    this.timer = 0;
    this.button = h("button", { type: "button", class: "alarm", click: () => this.toggle() });
    // Browsers keep a page silent until it is touched once.
    this.touched = (event) => this.ready || this.button.contains(event.target) || this.unlock();
    document.addEventListener("pointerdown", this.touched);
    document.addEventListener("keydown", this.touched);
    this.show();
    if (navigator.userActivation?.hasBeenActive) this.unlock();
  }

  get ready() {
    return this.context?.state === "running";
  }

  async unlock() {
    this.context ??= new AudioContext();
    await this.context.resume();
    this.show();
    this.sound();
  }

  toggle() {
    // A silent page is never meant to be switched off.
    this.wanted = !this.ready || !this.wanted;
    if (!this.ready) this.unlock();
    localStorage.setItem(KEY, this.wanted ? "on" : "off");
    this.show();
    this.sound();
  }

  // Ring now, and go on as long as something is `waiting`.
  ring() {
    this.waiting = true;
    this.sound();
  }

  sound() {
    clearTimeout(this.timer);
    if (!this.waiting || !this.wanted || !this.ready) return;
    for (const [frequency, delay] of NOTES) this.play(frequency, this.context.currentTime + delay);
    this.timer = setTimeout(() => this.sound(), EVERY_MS);
  }

  play(frequency, start) {
    const tone = new OscillatorNode(this.context, { type: "triangle", frequency });
    const volume = new GainNode(this.context, { gain: 0 });
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(0.4, start + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.2);
    tone.connect(volume).connect(this.context.destination);
    tone.start(start);
    tone.stop(start + 0.22);
  }

  show() {
    const state = this.ready ? "声音：开" : "声音：点击页面后启用";
    setText(this.button, this.wanted ? state : "声音：关");
    this.button.setAttribute("aria-pressed", String(this.wanted));
  }

  close() {
    clearTimeout(this.timer);
    document.removeEventListener("pointerdown", this.touched);
    document.removeEventListener("keydown", this.touched);
    this.context?.close();
  }
}
