// The page: what comes from the feed goes to charts and tables, what is clicked goes to the API.

import { Charts, shown } from "/assets/charts.js";
import { Feed, ask } from "/assets/feed.js";
import { History } from "/assets/history.js";
import { Parts } from "/assets/parts.js";
import { TapDialog } from "/assets/tap.js";
import { backendTable, sessionTable, words } from "/assets/tables.js";

const SESSIONS_EVERY_MS = 2000;
const CACHE_SPAN_S = 60;
const MOST_SESSIONS = 200;

const $ = (id) => document.getElementById(id);
const feed = new Feed();
const history = new History();
const charts = new Charts($("charts"));
const parts = new Parts($("main"), history);
const tap = new TapDialog($("tap"));

// Settings of the view, kept in this browser.

const settings = {
  get: (name, usual) => localStorage.getItem(`wsproxy.${name}`) ?? usual,
  set: (name, value) => localStorage.setItem(`wsproxy.${name}`, value),
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => $("theme").value || (dark.matches ? "dark" : "light");

function applyTheme() {
  document.documentElement.dataset.theme = theme();
  draw();
}

for (const [name, usual] of [["split", "none"], ["span", "300"], ["theme", ""]]) {
  $(name).value = settings.get(name, usual);
  $(name).onchange = () => {
    settings.set(name, $(name).value);
    applyTheme();
  };
}
dark.addEventListener("change", applyTheme);

// Figures.

function draw() {
  if (history.latest && !$("main").hidden) {
    charts.draw(history.points(Number($("span").value), $("split").value), $("split").value, theme());
  }
}

const previous = (backend) =>
  history.before?.backends.find((one) => one.group === backend.group && one.name === backend.name);

function ratesOf(backend, counter) {
  const before = previous(backend);
  if (!before) return "–";
  return shown.rate(Math.max(backend[counter] - before[counter], 0) / (history.latest.at - history.before.at));
}

function tiles(figures) {
  const now = history.points(3, "none").at(-1)?.values.get("all");
  const sum = (processes, figure) => processes.reduce((total, process) => total + process[figure], 0);
  const before = history.before;
  const seconds = before ? figures.at - before.at : 0;
  const used_s = seconds > 0 ? Math.max(sum(figures.processes, "cpu_s") - sum(before.processes, "cpu_s"), 0) : 0;
  const cpu = seconds > 0 ? `${((used_s / seconds) * 100).toFixed(0)} %` : "–";
  const lag_s = Math.max(...figures.processes.map((process) => process.lag_s));
  const down = figures.backends.filter((backend) => backend.state === "down").length;
  const queued = figures.backends.reduce((sum, backend) => sum + backend.queue, figures.waiting);
  return [
    ["Requests/s", shown.rate(now?.requests)],
    ["Latency, 99 %", shown.duration(now?.p99)],
    ["Server errors/s", shown.rate(now?.errors), now?.errors > 0],
    ["Backends up", `${figures.backends.filter((one) => one.state === "up").length} / ${figures.backends.length}`, down > 0],
    ["Requests waiting", shown.count(queued)],
    ["Connections", shown.count(figures.frontends.reduce((sum, frontend) => sum + frontend.connections, 0))],
    ["WebSockets", shown.count(figures.backends.reduce((sum, backend) => sum + backend.websockets, 0))],
    ["Messages/s", shown.rate(now?.messages)],
    ["CPU", cpu],
    ["Memory", words.bytes(sum(figures.processes, "memory_bytes"))],
    ["Event loop lag", shown.duration(lag_s), lag_s > 0.25],
    ...cached(figures),
    ["Up for", words.time(figures.at - Math.min(...figures.processes.map((process) => process.started_at)))],
  ];
}

/** The share of requests that the cache has answered of late, where there is one. */
function cached(figures) {
  if (!figures.cache) return [];
  const before = history.since(CACHE_SPAN_S, (one) => one.cache)?.item.results ?? {};
  const counts = Object.entries(figures.cache.results).map(([result, count]) => [result, Math.max(count - (before[result] ?? 0), 0)]);
  const sum = (wanted) => counts.reduce((total, [result, count]) => (wanted(result) ? total + count : total), 0);
  const all = sum((result) => result !== "bypass");
  const own = sum((result) => ["hit", "stale", "collapsed", "revalidated"].includes(result));
  return [["From the cache", all ? `${((own / all) * 100).toFixed(0)} %` : "–"]];
}

function showTiles(figures) {
  const wanted = tiles(figures);
  if ($("tiles").children.length !== wanted.length) {
    $("tiles").replaceChildren(...wanted.map(() => {
      const tile = document.createElement("div");
      tile.append(document.createElement("dt"), document.createElement("dd"));
      return tile;
    }));
  }
  wanted.forEach(([name, value, bad], i) => {
    const [term, figure] = $("tiles").children[i].children;
    term.textContent = name;
    figure.textContent = value;
    figure.className = bad ? "bad" : "";
  });
}

feed.addEventListener("figures", ({ detail: figures }) => {
  const off = !figures.monitoring;
  notice(off ? "Monitoring is switched off (POST /switches)." : whatIsWrong(figures));
  if (off) return;
  history.add(figures);
  $("version").textContent = figures.version;
  showTiles(figures);
  showBackends();
  parts.show(figures);
  draw();
});

function showBackends() {
  const wanted = $("find").value.trim().toLowerCase();
  const all = history.latest?.backends ?? [];
  const found = all.filter((one) => [one.name, one.url, one.group, one.state].some((text) => text.toLowerCase().includes(wanted)));
  backends.show(found);
  $("backend-count").textContent = wanted ? `${found.length} of ${all.length}` : "";
}
$("find").oninput = showBackends;

feed.addEventListener("link", ({ detail: state }) => {
  $("link").className = state;
  $("link").textContent = state === "live" ? "live" : "connection lost, trying again";
  if (state === "live") {
    $("login").hidden = true;
    $("main").hidden = false;
  }
});

feed.addEventListener("locked", () => {
  $("link").textContent = "locked";
  $("main").hidden = true;
  $("logout").hidden = true;
  $("login").hidden = false;
  $("token").focus();
});

// Login.

$("login").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await ask("POST", "/login", { token: $("token").value });
    $("login-problem").textContent = "";
    $("logout").hidden = false;
    feed.open();
  } catch (error) {
    $("login-problem").textContent = error.message;
  }
  $("token").value = "";
};

$("logout").onclick = async () => {
  await ask("POST", "/logout");
  location.reload();
};

// What an operator does.

function whatIsWrong(figures) {
  const phase = figures.phase === "running" ? "" : `The proxy is ${figures.phase}.`;
  return [phase, figures.trouble].filter(Boolean).join(" ");
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

let toastTimer = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => ($("toast").hidden = true), 5000);
}

function confirmed(title, text, yes) {
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  $("confirm").showModal();
  return new Promise((resolve) => {
    // Not its close event, which comes late enough to meet the next question.
    $("confirm").onsubmit = (event) => resolve(event.submitter.value === "yes");
    $("confirm").oncancel = () => resolve(false);
  });
}

async function attempt(done, method, path, content) {
  try {
    await ask(method, path, content);
    toast(done);
  } catch (error) {
    toast(`That failed: ${error.message}`);
  }
}

const change = (verb, done) => (backend) =>
  attempt(`${backend.name} is ${done}`, "POST", `/backends/${verb}`, { backend: backend.name, group: backend.group });

const backends = backendTable($("backend-table"), ratesOf, {
  enable: {
    label: "Enable",
    may: (backend) => backend.state === "disabled" || backend.state === "draining",
    run: change("enable", "enabled"),
  },
  disable: {
    label: "Disable",
    may: (backend) => !["disabled", "draining"].includes(backend.state),
    run: async (backend) => {
      const text = "It gets no new requests. Its WebSockets stay.";
      if (await confirmed(`Disable ${backend.name}?`, text, "Disable")) change("disable", "disabled")(backend);
    },
  },
  drain: {
    label: "Drain",
    may: (backend) => backend.state !== "draining",
    run: async (backend) => {
      const text = `It gets no new requests, and its ${backend.websockets} WebSockets are closed with 1012, a few at a time.`;
      if (await confirmed(`Drain ${backend.name}?`, text, "Drain")) change("drain", "being drained")(backend);
    },
  },
});

const sessions = sessionTable($("session-table"), {
  tap: {
    label: "Tap",
    may: (session) => session.inspected && !session.closing, // else its route lacks inspect = yes
    run: async (session) => {
      try {
        await tap.open(session);
      } catch (error) {
        toast(`That failed: ${error.message}`);
      }
    },
  },
  close: {
    label: "Close",
    may: (session) => !session.closing,
    run: async (session) => {
      if (await confirmed(`Close ${session.id}?`, `Its client at ${session.peer} is told 1008.`, "Close")) {
        attempt(`${session.id} is closed`, "POST", "/sessions/close", { id: session.id });
      }
    },
  },
});

async function showSessions() {
  if (document.visibilityState === "visible" && !$("main").hidden) {
    try {
      const found = (await ask("GET", `/sessions?limit=${MOST_SESSIONS}`)).sessions;
      sessions.show(found);
      $("session-table").hidden = !found.length;
      $("no-sessions").hidden = found.length > 0;
      $("session-count").textContent = found.length === MOST_SESSIONS ? `the ${MOST_SESSIONS} longest idle` : "";
    } catch {
      // the feed says so
    }
  }
  setTimeout(showSessions, SESSIONS_EVERY_MS);
}

applyTheme();
feed.open();
showSessions();
