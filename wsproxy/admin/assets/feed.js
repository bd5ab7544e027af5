// The live figures: one WebSocket, opened again whenever it is lost. Knows nothing of what is shown.

const LONGEST_WAIT_MS = 10_000;

export class Feed extends EventTarget {
  #wait = 500;
  #socket = null;

  /** Connect, now or when the server can be reached again. Events: figures, link ("live", "lost"), locked. */
  async open() {
    let status = 0;
    try {
      status = (await fetch("/status", { headers: { Accept: "application/json" } })).status;
    } catch {
      // not there: later, perhaps
    }
    if (status === 401) {
      this.#tell("locked");
    } else if (status === 200) {
      this.#connect();
    } else {
      this.#later();
    }
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#wait = 500;
      this.#tell("link", "live");
    };
    socket.onmessage = (event) => this.#tell("figures", JSON.parse(event.data));
    socket.onclose = () => this.#later();
  }

  #later() {
    this.#tell("link", "lost");
    setTimeout(() => this.open(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Ask the API. Returns its JSON; throws an Error with its words. */
export async function ask(method, path, content) {
  const options = { method, headers: { Accept: "application/json" } };
  if (content !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(content);
  }
  const answer = await fetch(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Error(body.error ?? `${answer.status}`);
  }
  return body;
}
