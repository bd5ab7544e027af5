// What the counters of the last minutes mean: rates, quantiles, sums. Knows figures, nothing of the page.

const LONGEST_S = 900;

// An empty list of sums stands for zeros.
const add = (sums, values) => values.map((value, i) => value + (sums[i] ?? 0));
const differ = (now, before) => now.map((value, i) => Math.max(value - (before?.[i] ?? 0), 0));

/** A quantile of counts in buckets, interpolated; null when there is nothing. */
function quantile(counts, bounds, share) {
  const wanted = counts.reduce((sum, count) => sum + count, 0) * share;
  if (!wanted) return null;
  let below = 0;
  for (let i = 0; i < bounds.length; i += 1) {
    if (counts[i] && below + counts[i] >= wanted) {
      const low = i ? bounds[i - 1] : 0;
      return low + ((bounds[i] - low) * (wanted - below)) / counts[i];
    }
    below += counts[i];
  }
  return bounds[bounds.length - 1];
}

/** Requests by class of status, durations, sessions and messages of one thing (a route, a backend, everything). */
function flows(figures, split) {
  const found = new Map();
  const of = (key) => {
    if (!found.has(key)) {
      found.set(key, { classes: [], durations: [], messages: [0, 0], sessions: 0, queue: 0, busy: 0, workers: 0 });
    }
    return found.get(key);
  };
  const backendKey = (group, name) => (split === "backend" ? `${group} ${name}` : "all");
  for (const route of figures.routes) {
    for (const [backend, answered] of Object.entries(route.answered)) {
      const inSplit = { none: "all", route: route.name, backend: backend ? `${route.group} ${backend}` : "no backend" };
      const flow = of(inSplit[split]);
      flow.classes = add(flow.classes, answered.classes);
      flow.durations = add(flow.durations, answered.durations);
    }
    const websockets = route.websockets;
    if (websockets && split !== "backend") {
      const flow = of(split === "route" ? route.name : "all");
      flow.messages = add(flow.messages, [websockets.client_messages, websockets.upstream_messages]);
      if (split === "route") flow.sessions += Object.values(websockets.open).reduce((sum, count) => sum + count, 0);
    }
  }
  for (const backend of figures.backends) {
    const keys =
      split === "route"
        ? figures.routes.filter((route) => route.group === backend.group).map((route) => route.name)
        : [backendKey(backend.group, backend.name)];
    for (const key of keys) {
      const flow = of(key);
      flow.queue += backend.queue;
      flow.workers += backend.workers;
      flow.busy += backend.workers - backend.idle_workers;
      if (split !== "route") flow.sessions += backend.websockets;
    }
  }
  return found;
}

export class History {
  #frames = [];

  /** Take in the figures of a second. */
  add(figures) {
    const last = this.#frames.at(-1);
    if (last && figures.at <= last.at) return;
    if (last && figures.processes[0]?.started_at !== last.processes[0]?.started_at) this.#frames = []; // a new life
    this.#frames.push(figures);
    while (this.#frames[0].at < figures.at - LONGEST_S) this.#frames.shift();
  }

  get latest() {
    return this.#frames.at(-1);
  }

  get before() {
    return this.#frames.at(-2);
  }

  /** The oldest of the last `span` seconds, before now, that has what `find` looks for: {at, item}; null if none has. */
  since(span, find) {
    const now = this.latest;
    for (let i = this.#frames.findIndex((figures) => figures.at >= now.at - span); this.#frames[i] !== now; i += 1) {
      const item = find(this.#frames[i]);
      if (item) return { at: this.#frames[i].at, item };
    }
    return null;
  }

  /** Points of the last span seconds: {at, values: Map(key -> rates and sums)}. */
  points(span, split) {
    const points = [];
    const since = (this.latest?.at ?? 0) - span - 1;
    let before = null;
    let previous = null;
    for (const figures of this.#frames) {
      if (figures.at < since) continue;
      const now = flows(figures, split);
      if (previous) {
        const seconds = figures.at - before.at;
        const values = new Map();
        for (const [key, flow] of now) values.set(key, rates(flow, previous.get(key), seconds, figures.bounds_s));
        points.push({ at: figures.at, values });
      }
      before = figures;
      previous = now;
    }
    return points;
  }
}

function rates(flow, before, seconds, bounds) {
  const classes = differ(flow.classes, before?.classes).map((count) => count / seconds);
  const durations = differ(flow.durations, before?.durations);
  const messages = differ(flow.messages, before?.messages).map((count) => count / seconds);
  return {
    classes,
    requests: classes.reduce((sum, rate) => sum + rate, 0),
    errors: classes[5] ?? 0,
    p50: quantile(durations, bounds, 0.5),
    p95: quantile(durations, bounds, 0.95),
    p99: quantile(durations, bounds, 0.99),
    messagesIn: messages[0],
    messagesOut: messages[1],
    messages: messages[0] + messages[1],
    sessions: flow.sessions,
    queue: flow.queue,
    busy: flow.busy,
    workers: flow.workers,
  };
}
