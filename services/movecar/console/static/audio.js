// Listening to a recording. Every listening is noted with its listener's name, so nothing is fetched before
// somebody asks for it.

import { API, reasonFor } from "./api.js";
import { h, setText } from "./dom.js";

// A button that turns into a player. `title` tells the recordings of one page apart.
export function listening(id, { title, label = "听录音" }) {
  const path = `/recordings/${encodeURIComponent(id)}/audio`;
  const mistake = h("span", { class: "mistake", role: "alert" });
  const button = h("button", { type: "button", class: "listen", "aria-label": `${label} ${title}`, click: () => open() }, label);
  const element = h("span", { class: "listening" }, button, mistake);

  function open() {
    setText(mistake, "");
    const player = h("audio", {
      controls: true,
      autoplay: true,
      preload: "none",
      "aria-label": `录音 ${title}`,
      play: () => stopOthers(player),
      error: () => failed(player),
    });
    player.src = API + path;
    button.replaceWith(player);
    player.focus();
  }

  // The browser does not say why; the server does.
  async function failed(player) {
    if (!player.isConnected) return;
    player.replaceWith(button);
    button.focus();
    setText(mistake, await reasonFor(path));
  }

  return element;
}

export function downloadLink(id, name) {
  const address = `${API}/recordings/${encodeURIComponent(id)}/audio`;
  return h("a", { class: "download", href: address, download: `${name}.wav` }, "下载");
}

function stopOthers(player) {
  for (const other of document.querySelectorAll("audio")) if (other !== player) other.pause();
}
