// The charts: uPlot fed with points. Knows what is drawn and in which colours, not where points come from.
/* global uPlot */

const HEIGHT = 190;
const MOST_LINES = 8;

const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]; // of counts

const COLOURS = {
  light: ["#1f6f78", "#b3541e", "#5b4b9a", "#2e7d32", "#b0307a", "#8a6d00", "#1565c0", "#6d4c41"],
  dark: ["#6cc5cf", "#f2a06b", "#b3a4f2", "#7fd58a", "#f08cc0", "#e3c85b", "#8ab8ff", "#c9a896"],
};

const rate = (value) => (value == null ? "–" : value >= 100 ? value.toFixed(0) : value.toFixed(1));
const count = (value) => (value == null ? "–" : String(Math.round(value)));
const duration = (value) =>
  value == null ? "–" : value >= 1 ? `${value.toFixed(2)} s` : `${(value * 1000).toFixed(value >= 0.1 ? 0 : 1)} ms`;

// Without a split each chart has lines of its own; with one, a line for each route or backend, of the `split` value.
const CHARTS = [
  { title: "Requests", unit: "per second", show: rate, split: "requests", lines: [
    ["2xx", (v) => v.classes[2]], ["3xx", (v) => v.classes[3]], ["4xx", (v) => v.classes[4]], ["5xx", (v) => v.classes[5]]] },
  { title: "Latency", unit: "with a split: 99 %", show: duration, split: "p99", lines: [
    ["50 %", (v) => v.p50], ["95 %", (v) => v.p95], ["99 %", (v) => v.p99]] },
  { title: "Server errors", unit: "per second", show: rate, split: "errors", lines: [["5xx", (v) => v.errors]] },
  { title: "Queues", unit: "requests that wait", show: count, split: "queue", lines: [["waiting", (v) => v.queue]] },
  { title: "Workers", unit: "with a split: busy", show: count, split: "busy", lines: [
    ["busy", (v) => v.busy], ["all", (v) => v.workers]] },
  { title: "WebSockets", unit: "open", show: count, split: "sessions", lines: [["open", (v) => v.sessions]] },
  { title: "WebSocket messages", unit: "per second", show: rate, split: "messages", lines: [
    ["from clients", (v) => v.messagesIn], ["from servers", (v) => v.messagesOut]] },
];

/** Messages are counted by route alone. */
const chartsFor = (split) => CHARTS.filter((chart) => split !== "backend" || chart.split !== "messages");

export class Charts {
  #holder;
  #charts = [];
  #built = "";

  constructor(holder) {
    this.#holder = holder;
    new ResizeObserver(() => this.#resize()).observe(holder);
  }

  /** Draw points, as History makes them. */
  draw(points, split, theme) {
    const keys = split === "none" ? ["all"] : busiest(points);
    const built = JSON.stringify([keys, split, theme]);
    if (built !== this.#built) {
      this.#build(keys, split, theme);
      this.#built = built;
    }
    const at = points.map((point) => point.at);
    chartsFor(split).forEach((chart, i) => {
      const read = readers(chart, keys, split);
      this.#charts[i].setData([at, ...read.map((line) => points.map((point) => line(point.values)))]);
    });
  }

  #build(keys, split, theme) {
    this.#charts.forEach((chart) => chart.destroy());
    this.#holder.replaceChildren();
    const style = getComputedStyle(document.documentElement);
    const [text, grid] = [style.getPropertyValue("--faint").trim(), style.getPropertyValue("--line").trim()];
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
    this.#charts = chartsFor(split).map((chart) => {
      const figure = document.createElement("figure");
      figure.className = "chart";
      const caption = document.createElement("figcaption");
      const unit = document.createElement("small");
      unit.textContent = chart.unit;
      caption.append(`${chart.title} `, unit);
      figure.append(caption);
      this.#holder.append(figure);
      const labels = split === "none" ? chart.lines.map(([label]) => label) : keys;
      const series = labels.map((label, i) => ({
        label, stroke: COLOURS[theme][i % MOST_LINES], width: 2, points: { show: false }, spanGaps: true,
        value: (_, value) => chart.show(value),
      }));
      return new uPlot({
        width: figure.clientWidth - 22, height: HEIGHT,
        cursor: { sync: { key: "wsproxy" } },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [axis, { ...axis, size: 64, incrs: chart.show === count ? WHOLE : undefined,
          values: (_, ticks) => ticks.map(chart.show) }],
        series: [{ value: "{HH}:{mm}:{ss}" }, ...series],
      }, [[], ...labels.map(() => [])], figure);
    });
  }

  #resize() {
    for (const chart of this.#charts) {
      const width = chart.root.parentElement.clientWidth - 22;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height: HEIGHT });
    }
  }
}

function readers(chart, keys, split) {
  if (split === "none") {
    return chart.lines.map(([, read]) => (values) => (values.has("all") ? read(values.get("all")) ?? null : null));
  }
  return keys.map((key) => (values) => values.get(key)?.[chart.split] ?? null);
}

/** The keys with most traffic of late: more lines than colours say nothing. */
function busiest(points) {
  const weight = new Map();
  for (const { values } of points) {
    for (const [key, value] of values) {
      weight.set(key, (weight.get(key) ?? 0) + value.requests + value.messages + value.sessions);
    }
  }
  const keys = [...weight.keys()];
  if (keys.length <= MOST_LINES) return keys;
  const kept = new Set(keys.sort((a, b) => weight.get(b) - weight.get(a)).slice(0, MOST_LINES));
  return [...weight.keys()].filter((key) => kept.has(key)).sort();
}

export const shown = { rate, count, duration };
