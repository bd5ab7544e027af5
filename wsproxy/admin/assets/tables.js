// Tables, and those of backends and WebSockets: changed in place so that focus and selection stay where they are.
// All text goes in as text: names and addresses are never read as HTML.

const bytes = (size) => {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024 || unit === "GiB") return `${size < 10 && unit !== "B" ? size.toFixed(1) : Math.round(size)} ${unit}`;
    size /= 1024;
  }
  return "";
};

const time = (seconds) => {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
};

/** One row for each item; `cells` fills them, `actions` names its buttons. */
export class Table {
  #rows = new Map();

  constructor(table, key, cells, actions) {
    this.body = table.tBodies[0];
    this.labels = [...table.tHead.rows[0].cells].map((cell) => [cell.textContent, cell.className]);
    Object.assign(this, { key, cells, actions });
  }

  show(items) {
    const gone = new Set(this.#rows.keys());
    items.forEach((item, place) => {
      const key = this.key(item);
      gone.delete(key);
      const row = this.#rows.get(key) ?? this.#add(key);
      row.item = item;
      this.cells(item).forEach((content, i) => fill(row.cells[i], content));
      for (const button of row.querySelectorAll("button")) button.disabled = !this.actions[button.name].may(item);
      if (this.body.rows[place] !== row) this.body.insertBefore(row, this.body.rows[place] ?? null);
    });
    for (const key of gone) {
      this.#rows.get(key).remove();
      this.#rows.delete(key);
    }
  }

  #add(key) {
    const row = document.createElement("tr");
    for (const [label, kind] of this.labels) {
      const cell = row.insertCell();
      cell.dataset.label = label;
      cell.className = kind;
    }
    const last = row.cells[row.cells.length - 1];
    if (Object.keys(this.actions).length) last.className = "actions";
    for (const [name, action] of Object.entries(this.actions)) {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", name, textContent: action.label });
      button.setAttribute("aria-label", `${action.label} ${key}`);
      button.onclick = () => action.run(row.item);
      last.append(button);
    }
    this.#rows.set(key, row);
    return row;
  }
}

/** content: a text, or {text, sub, kind}. Untouched when it is the same. */
function fill(cell, content) {
  const { text, sub = "", kind = "" } = typeof content === "object" ? content : { text: content };
  const shown = JSON.stringify([text, sub, kind]);
  if (cell.dataset.shown === shown) return;
  cell.dataset.shown = shown;
  const main = document.createElement("span");
  main.textContent = text;
  main.className = kind;
  const below = document.createElement("span");
  below.className = "sub";
  below.textContent = sub;
  cell.replaceChildren(main, ...(sub ? [below] : []));
}

export function backendTable(element, rates, actions) {
  return new Table(
    element,
    (backend) => `${backend.group} ${backend.name}`,
    (backend) => [
      { text: backend.state, kind: `state ${backend.state}` },
      { text: backend.name, sub: backend.url === backend.name ? "" : backend.url },
      { text: backend.group, sub: backend.added ? "added by an operator" : "" },
      rates(backend, "requests"),
      rates(backend, "failures"),
      { text: `${backend.workers - backend.idle_workers} / ${backend.max_workers}` },
      `${backend.queue} / ${backend.queue_size}`,
      String(backend.websockets),
      { text: backend.alive ? "well" : "ill", sub: backend.alive ? "" : backend.probes.reason },
    ],
    actions,
  );
}

export function sessionTable(element, actions) {
  return new Table(
    element,
    (session) => session.id,
    (session) => [
      { text: session.id, sub: session.closing ? "closing" : "" },
      session.peer,
      session.backend,
      time(session.age_s),
      time(session.idle_s),
      `${session.client.messages} / ${session.upstream.messages}`,
      `${bytes(session.client.data_bytes)} / ${bytes(session.upstream.data_bytes)}`,
      session.round_trip_s === null ? "–" : `${(session.round_trip_s * 1000).toFixed(1)} ms`,
    ],
    actions,
  );
}

export const words = { bytes, time };
