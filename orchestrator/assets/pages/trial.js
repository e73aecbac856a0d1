// All about one trial.

import { lineChart } from "/assets/chart.js";
import { kind } from "/assets/color.js";
import { copy, cure, parameters, section, select, state, table, trialLink, when } from "/assets/controls.js";
import { h, put, putControls } from "/assets/dom.js";
import { bytes, count, counted, duration, energy, num, percent, short, time, val, zone } from "/assets/format.js";

export default async function trial(ctx) {
  const top = h("div", {});
  const curves = h("div", {});
  const choice = h("div", { class: "fields" });
  const lines = h("div", {});
  const log = section("Log", choice, lines);
  log.hidden = true;
  const rest = h("div", {});
  put(ctx.root, top, curves, rest, log);
  const charts = new Map();
  let attempt = ctx.get("attempt");
  let running = false;
  let logged = null;

  async function update(news, ask) {
    const id = ctx.path;
    const [data, drawn, end] = await Promise.all([ask(`trial/${id}`), ask(`trial/${id}/curves`), ask(`trial/${id}/log`, { attempt })]);
    running = data.state === "running" && data.led;
    document.title = `${data.kind} ${short(data.id)} · Permafrost`;
    const place = data.places.find((row) => `${row.sweep}@${row.revision}` === ctx.get("sweep")) ?? data.places[data.places.length - 1];
    put(top, heading(data, place), h("div", { class: "even" }, values(place), outcome(ctx, data)));
    drawCurves(drawn);
    put(rest, attempts(data), artifacts(data), lineage(ctx, data), events(data), whole(ctx, data));
    drawLog(data, end, news);
  }

  function drawCurves({ curves: found, axis }) {
    if (!found.length) {
      put(curves);
      return;
    }
    if (!curves.firstChild) put(curves, section("Curves", h("div", { class: "panels" })));
    const panels = curves.querySelector(".panels");
    found.forEach((curve, index) => {
      let chart = charts.get(curve.metric);
      if (!chart) {
        chart = lineChart({ height: 210, whole: true });
        charts.set(curve.metric, chart);
        panels.append(h("div", { css: { flex: "1 1 340px", "min-width": "0" } }, h("h3", {}, curve.metric), chart));
      }
      chart.draw({ xName: axis, yName: curve.metric, series: [{ key: curve.metric, name: curve.metric, points: curve.points, ...kind(index) }] });
    });
  }

  function drawLog(data, end, news) {
    const old = lines.querySelector(".log");
    // Who reads the end follows it; who reads further up stays there.
    const bottom = !old || logged !== end.attempt || old.scrollTop + old.clientHeight >= old.scrollHeight - 8;
    logged = end.attempt;
    log.hidden = false;
    const line = (entry) => h("div", { class: entry.level === "WARN" ? "warn" : entry.level === "ERROR" ? "error" : null },
      entry.at ? h("span", { class: "quiet" }, `${time(Date.parse(entry.at))} `) : null, entry.level && entry.level !== "INFO" ? `${entry.level} ` : "", entry.message,
      Object.keys(entry.fields).length ? [" ", parameters(entry.fields)] : null);
    choice.hidden = data.attempts.length < 2;
    putControls(choice, news, select("attempt", data.attempts.map((row) => [String(row.attempt), `${row.attempt} (${row.state})`]), String(end.attempt), (value) => {
      attempt = value;
      ctx.set({ attempt: value });
      ctx.refresh();
    }));
    put(lines, end.missing ? h("p", { class: "quiet" }, `No log: ${end.missing}.`) : [
      end.truncated ? h("p", { class: "quiet" }, cure(`The end of it; all: \`permafrost logs ${short(data.id)}\``)) : null,
      h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Log" }, end.lines.length ? end.lines.map(line) : "It logged nothing.")]);
    const now = lines.querySelector(".log");
    if (now && bottom) now.scrollTop = now.scrollHeight;
  }

  return { update, topics: ["trials", "progress", "events", "coordinator"], timed: () => running };
}

function heading(data, place) {
  const last = data.attempts[data.attempts.length - 1];
  const done = data.state === "running" && last?.total_units ? ` ${percent(last.done_units / last.total_units)}` : "";
  const why = [];
  if (data.state === "running" && !data.led) why.push(h("p", {}, "Nobody runs it now: its coordinator has ended. It is tried again, from where it was saved, when the sweep is launched again."));
  if (data.why_waiting) why.push(h("p", {}, `It ${data.why_waiting}.`));
  if (data.state !== "done" && last?.message) why.push(h("div", { class: "reason" }, h("p", { class: "message" }, `attempt ${last.attempt} ${last.state}: ${last.message}`), last.cure ? h("p", {}, h("strong", {}, "What to do: "), cure(last.cure)) : null));
  if (["failed", "diverged", "cancelled"].includes(data.state)) why.push(h("p", {}, "Run it again: ", h("code", {}, `permafrost retry ${short(data.id)}`), " ", copy(`permafrost retry ${short(data.id)}`, "command")));
  return [
    h("h1", {}, `${place?.stage ?? data.kind} `, h("span", { class: "id" }, short(data.id)), " ", state(data.state), done),
    h("p", { class: "quiet" }, h("span", { class: "id message" }, data.id), " ", copy(data.id, "identity")),
    why,
  ];
}

function values(place) {
  const pairs = Object.entries(place?.parameters ?? {});
  const own = pairs.filter(([name]) => !name.includes("."));
  const from = pairs.filter(([name]) => name.includes("."));
  const rows = (pairs) => table("Parameters", [{ head: "parameter", cell: ([name]) => name }, { head: "value", cell: ([, value]) => val(value) }], pairs);
  return section("Parameters", pairs.length ? rows(own) : h("p", { class: "quiet" }, "None."), from.length ? h("details", {}, h("summary", {}, `${counted(from.length, "parameter")} of what it is built on`), rows(from)) : null);
}

function outcome(ctx, data) {
  const results = Object.entries(data.results);
  const sum = (name) => data.usage.reduce((sum, row) => (row[name] === null ? sum : (sum ?? 0) + row[name]), null);
  const [device, busy] = [sum("device_s"), sum("busy_s")];
  const peak = data.usage.reduce((peak, row) => Math.max(peak, row.memory_peak_bytes ?? 0), 0);
  const sampled = sum("samples") > 0;
  const unknown = h("span", { class: "quiet" }, "– too short to be sampled");
  const used = [["device", [...new Set(data.usage.map((row) => `${row.device} (${row.model})`))].join(", ")], ["time of the device", duration(device * 1000)], ["utilisation", sampled ? percent(busy / device) : unknown], ["memory, peak", sampled ? (peak ? bytes(peak) : "–") : unknown.cloneNode(true)], ["energy", energy(sum("energy_j"))]];
  return h("div", {},
    section("Results", results.length ? table("Results", [{ head: "result", cell: ([name]) => name }, { head: "value", num: true, cell: ([name, value]) => h("span", { title: String(value) }, Number.isInteger(value) ? count(value) : num(value, 6), name === "best_epoch" ? h("span", { class: "quiet" }, ` from 0; in the curves epoch ${count(value + 1)}`) : null) }], results) : h("p", { class: "quiet" }, "None yet.")),
    section("Device use", data.usage.length ? table("Device use", [{ head: "what", cell: ([what]) => what }, { head: "with all attempts", num: true, cell: ([, value]) => value }], used) : h("p", { class: "quiet" }, data.attempts.length ? ["Its device was not sampled. ", h("a", { href: ctx.link("/devices") }, "What ran where")] : "It has not run.")));
}

function attempts(data) {
  if (!data.attempts.length) return null;
  return section("Attempts", table("Attempts", [
    { head: "attempt", class: "tight", cell: (row) => row.attempt },
    { head: "state", cell: (row) => state(row.state) },
    { head: `began (${zone(data.attempts[0].started)})`, class: "nowrap", cell: (row) => when(row.started) },
    { head: "took", num: true, cell: (row) => (row.ended === null && !data.led ? "–" : duration((row.ended ?? data.now) - row.started)) },
    { head: "done", num: true, cell: (row) => (row.total_units ? percent(row.done_units / row.total_units) : "–") },
    { head: "array of", num: true, cell: (row) => row.members },
    { head: "from", cell: (row) => (row.resumed_step === null ? "the start" : `step ${count(row.resumed_step)}`) },
    { head: "device", cell: (row) => `${row.device} (${row.model})` },
    { head: "host", cell: (row) => row.host },
    { head: "program", cell: (row) => row.program },
    { head: "what happened", cell: (row) => h("span", { class: "message" }, row.message ?? "") },
  ], data.attempts));
}

function artifacts(data) {
  if (!data.artifacts.length) return null;
  return section("Artifacts", table("Artifacts", [
    { head: "file", cell: (row) => row.name },
    { head: "size", num: true, cell: (row) => bytes(row.bytes) },
    { head: "path, below the home folder", class: "nowrap", cell: (row) => [h("span", { class: "id" }, row.path), " ", copy(row.path, "path")] },
    { head: "BLAKE3", class: "nowrap", cell: (row) => [h("span", { class: "id", title: row.blake3 }, `${row.blake3.slice(0, 16)}…`), " ", copy(row.blake3, "digest")] },
  ], data.artifacts));
}

function lineage(ctx, data) {
  const line = (row) => h("li", { css: { "padding-left": `${(row.depth - 1) * 18}px` } }, h("span", { class: "quiet" }, `${row.kind} `), trialLink(ctx, row.id), " ", row.state === "done" ? null : state(row.state), " ", row.parameters ? parameters(Object.fromEntries(Object.entries(row.parameters).filter(([name]) => !name.includes(".")).slice(0, 5))) : null);
  const more = data.readers_total - data.readers.length;
  return h("div", { class: "even" },
    section(`Built on (${count(data.ancestors.length)})`, data.ancestors.length ? h("ul", { class: "lineage" }, data.ancestors.map(line)) : h("p", { class: "quiet" }, "Nothing: it is a source.")),
    section(`Read by (${count(data.readers_total)})`, data.readers.length ? h("details", { open: data.readers.length <= 12 }, h("summary", {}, counted(data.readers_total, "trial")), h("ul", { class: "lineage" }, data.readers.map(line)), more > 0 ? h("p", { class: "quiet" }, `and ${count(more)} more`) : null) : h("p", { class: "quiet" }, "No trial.")));
}

function events(data) {
  if (!data.events.length) return null;
  return section("Events", table("Events", [
    { head: "time", class: "tight", cell: (row) => when(row.at) },
    { head: "event", class: "tight", cell: (row) => row.kind },
    { head: "attempt", class: "tight", num: true, cell: (row) => row.attempt ?? "" },
    { head: "detail", cell: (row) => h("span", { class: "message" }, row.detail ?? "") },
  ], data.events));
}

function whole(ctx, data) {
  return section("Where it stands", table("Sweeps", [
    { head: "sweep", class: "tight", cell: (row) => h("a", { href: ctx.sweepLink({ name: row.sweep, revision: row.revision }) }, row.sweep) }, { head: "revision", class: "tight", cell: (row) => row.revision }, { head: "stage", cell: (row) => row.stage },
  ], data.places), h("details", {}, h("summary", {}, "all that it is told to do (JSON)"), h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "JSON" }, JSON.stringify(data.task, null, 2))));
}
