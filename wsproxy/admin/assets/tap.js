// The dialog with the last frames of one WebSocket, asked for again each second while it is open.

import { ask } from "/assets/feed.js";

const EVERY_MS = 1000;
const FOR = "5m";

const clock = (at) => new Date(at * 1000).toISOString().slice(11, 23);

export class TapDialog {
  #dialog;
  #path = "";
  #timer = 0;

  constructor(dialog) {
    this.#dialog = dialog;
    dialog.addEventListener("close", () => {
      clearTimeout(this.#timer);
      this.#path = "";
    });
  }

  /** Begin a tap and show it; throws an Error with the API's words. */
  async open(session) {
    const path = `/websockets/${encodeURIComponent(session.id)}/tap`;
    const tapped = await ask("POST", `${path}?for=${FOR}`);
    this.#path = path;
    this.#part("h2").textContent = `Tap of ${session.id}`;
    this.#show(tapped);
    this.#dialog.showModal();
    this.#later(path);
  }

  #part = (selector) => this.#dialog.querySelector(selector);

  #later(path) {
    this.#timer = setTimeout(async () => {
      try {
        const tapped = await ask("GET", path);
        if (this.#path !== path) return; // it was closed meanwhile
        this.#show(tapped);
      } catch (error) {
        this.#part("p").textContent = error.message;
      }
      if (this.#path === path) this.#later(path);
    }, EVERY_MS);
  }

  #show(tapped) {
    const left = Math.ceil(tapped.left_s);
    const state = left ? `noted for another ${left} s` : "its time is over";
    this.#part("p").textContent = `${tapped.frames.length} frames, ${state}`;
    this.#part("ol").replaceChildren(...tapped.frames.toReversed().map(line));
  }
}

function line(frame) {
  const item = document.createElement("li");
  const head = document.createElement("span");
  head.textContent = `${clock(frame.at)} ${frame.sender} ${frame.kind} ${frame.size_bytes} B`;
  head.className = frame.sender;
  const payload = document.createElement("code");
  payload.textContent = frame.preview;
  if (!frame.is_text) payload.title = "hexadecimal";
  item.append(head, payload);
  return item;
}
