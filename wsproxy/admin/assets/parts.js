// The tables of what not every proxy has: servers it has started, found servers, TCP listeners, several processes.
// Each is there only while it has rows. Knows figures and tables, nothing of the feed.

import { Table, words } from "/assets/tables.js";
import { shown } from "/assets/charts.js";

const SPAN_S = 5; // of a rate: one second of a server that does little would jump
const MOST_LAG_S = 0.25;

const GOOD_ENDS = ["client", "upstream", "idle"];

/** Growth of a counter a second, of the item that `same` recognises; null before there are two samples. */
function growth(history, items, same, counter, item) {
  const before = history.since(SPAN_S, (figures) => items(figures).find((one) => same(one, item)));
  if (!before) return null;
  return Math.max(counter(item) - counter(before.item), 0) / (history.latest.at - before.at);
}

const percent = (share) => (share === null ? "–" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`);
const cpuOf = (item) => item.cpu_s;
const samePid = (one, other) => one.pid === other.pid;
const sameName = (one, other) => one.name === other.name;

const cpu = (history, items, item) => (item.pid ? percent(growth(history, items, samePid, cpuOf, item)) : "–");

const servers = (figures) => figures.servers;
const listeners = (figures) => figures.tcp;
const processes = (figures) => figures.processes;

function server(one, history) {
  return [
    { text: one.state, kind: `state ${one.state}` },
    one.name,
    one.group,
    one.pid ? String(one.pid) : "–",
    String(one.restarts),
    cpu(history, servers, one),
    one.pid ? words.bytes(one.memory_bytes) : "–",
  ];
}

function found(one, history) {
  const age = words.time(Math.max(history.latest.at - one.at, 0));
  const answer = one.at ? `${age} ago` : { text: "never", kind: "bad" };
  return [one.group, one.source, String(one.servers), answer, String(one.errors)];
}

function listener(one, history) {
  const frontend = history.latest.frontends.find((each) => each.name === one.name);
  const ends = Object.entries(one.ended);
  const bad = ends.filter(([result, count]) => count && !GOOD_ENDS.includes(result));
  const rate = (counter) => growth(history, listeners, sameName, counter, one);
  const traffic = (key) => {
    const now = rate((item) => item[key]);
    return { text: words.bytes(one[key]), sub: now === null ? "" : `${words.bytes(now)}/s` };
  };
  return [
    { text: one.name, sub: frontend?.addresses.join(" ") ?? "" },
    one.group === one.name ? "its own" : one.group,
    String(one.open),
    {
      text: String(ends.reduce((sum, [, count]) => sum + count, 0)),
      sub: bad.map(([result, count]) => `${count} ${result.replace("_", " ")}`).join(", "),
    },
    traffic("client_bytes"),
    traffic("upstream_bytes"),
  ];
}

function process(one, history) {
  return [
    String(one.pid),
    words.time(history.latest.at - one.started_at),
    cpu(history, processes, one),
    words.bytes(one.memory_bytes),
    String(one.descriptors),
    { text: shown.duration(one.lag_s), kind: one.lag_s > MOST_LAG_S ? "bad" : "" },
  ];
}

const PARTS = [
  ["server", servers, (one) => `${one.group} ${one.name}`, server],
  ["found", (figures) => Object.entries(figures.discovery).map(([group, one]) => ({ group, ...one })), (one) => one.group, found],
  ["listener", listeners, (one) => one.name, listener],
  ["process", (figures) => (figures.processes.length > 1 ? figures.processes : []), (one) => one.pid, process],
];

/** All of them. */
export class Parts {
  #parts;

  /** place: the element that holds a section for each, `#server-part` and so on. */
  constructor(place, history) {
    this.#parts = PARTS.map(([name, items, key, cells]) => {
      const section = place.querySelector(`#${name}-part`);
      const table = new Table(section.querySelector("table"), key, (one) => cells(one, history), {});
      return { section, items, table };
    });
  }

  show(figures) {
    for (const { section, items, table } of this.#parts) {
      const wanted = items(figures);
      table.show(wanted);
      section.hidden = !wanted.length;
    }
  }
}
