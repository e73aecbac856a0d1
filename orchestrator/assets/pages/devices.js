// Devices over time, with the attempts that ran on them.

import { ticks } from "/assets/chart.js";
import { kind } from "/assets/color.js";
import { empty, select, table, trialLink, when } from "/assets/controls.js";
import { h, put, putControls, s } from "/assets/dom.js";
import { bytes, counted, duration, percent, short, time, zone } from "/assets/format.js";

const KINDS = ["pretrain", "classify", "embed", "segment", "prepare", "fetch", "noop"];
const LEFT = 44;
const RIGHT = 10;
const CHART = 92;
const LANE = 15;
const MAX_LANES = 14;
const RANGES = [["sweep", "this sweep"], ["all", "first to last attempt"], ["3600000", "last hour"], ["21600000", "last 6 hours"], ["86400000", "last day"], ["604800000", "last week"], ["2592000000", "last 30 days"]];

const colour = (name) => kind(Math.max(0, KINDS.indexOf(name))).color;

export default async function devices(ctx) {
  const controls = h("div", { class: "fields" });
  const legend = h("div", { class: "legend" });
  const body = h("div", {});
  put(ctx.root, h("h1", {}, "Devices"), controls, legend, body);
  let data = null;

  // What a coordinator that died has left without an end ran until somebody was heard from last; how long, nobody knows.
  const end = (array) => array.ended ?? data.ran_until;
  const took = (array) => (array.ended === null && !data.led ? "–" : duration(end(array) - array.started));

  async function update(news, ask) {
    data = await ask("devices", { range: ctx.get("range") });
    putControls(controls, news, select("time", RANGES, ctx.get("range") || "sweep", (value) => {
      ctx.set({ range: value === "sweep" ? "" : value });
      ctx.refresh();
    }));
    draw();
  }

  function draw() {
    const places = new Map();
    const at = (host, name, model) => {
      const key = `${host} ${name}`;
      if (!places.has(key)) places.set(key, { host, name, model, device: null, arrays: [], buckets: [] });
      return places.get(key);
    };
    const rows = new Map();
    for (const device of data.devices) {
      const place = at(device.host, device.name, device.model);
      place.device = device;
      rows.set(device.device, place);
    }
    for (const array of data.arrays) at(array.host, array.device, array.model).arrays.push(array);
    for (const bucket of data.buckets) rows.get(bucket.device)?.buckets.push(bucket);
    const shown = [...places.values()].filter((place) => place.arrays.length || place.buckets.length);
    const kinds = KINDS.filter((name) => data.arrays.some((array) => array.kind === name));
    put(legend, kinds.map((name) => h("span", { class: "key" }, s("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, s("rect", { width: 22, height: 8, fill: colour(name) })), name)),
      data.buckets.length ? [h("span", { class: "key" }, s("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, s("rect", { width: 22, height: 8, fill: "var(--accent)", "fill-opacity": 0.3 })), "utilisation"), h("span", { class: "key" }, s("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, s("line", { x1: 0, x2: 24, y1: 4, y2: 4, stroke: "var(--c1)", "stroke-width": 2, "stroke-dasharray": "5 3" })), "memory")] : null,
      h("span", { class: "quiet" }, `${time(data.from, true)}${zone(data.from) === zone(data.to) ? "" : ` ${zone(data.from)}`} to ${time(data.to, true)} ${zone(data.to)}`), data.arrays_cut ? h("span", { class: "quiet" }, "the latest 1500 arrays are shown: choose a shorter time for the rest") : null);
    put(body, shown.length ? shown.map(one) : empty("Nothing ran in that time.", "Choose a longer one; devices appear as soon as a worker runs trials."));
  }

  function one(place) {
    const width = Math.max(320, body.clientWidth || 900);
    const x = (ms) => LEFT + ((Math.max(data.from, Math.min(data.to, ms)) - data.from) / (data.to - data.from)) * (width - LEFT - RIGHT);
    const sampled = place.buckets.length > 0;
    const base = sampled ? CHART + 14 : 4;
    const { lanes, hidden } = pack(place.arrays, x, end);
    const height = base + Math.max(1, lanes.length) * LANE + 24;
    const marks = timeTicks(data.from, data.to, Math.max(3, Math.floor(width / 130)));
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": `${place.name} on ${place.host}` },
      marks.map(([ms, text]) => [s("line", { class: "grid", x1: x(ms), x2: x(ms), y1: 4, y2: height - 20 }), s("text", { x: x(ms), y: height - 6, "text-anchor": "middle" }, text)]),
      sampled ? usage(place, x, width) : null,
      lanes.flatMap((lane, index) => lane.map((array) => run(array, x, base + index * LANE))),
      s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: height - 20, y2: height - 20 }));
    const busy = place.buckets.filter((bucket) => bucket.utilisation !== null);
    const mean = busy.length ? busy.reduce((sum, bucket) => sum + bucket.utilisation, 0) / busy.length : null;
    const longest = [...place.arrays].sort((a, b) => end(b) - b.started - (end(a) - a.started));
    return h("section", { class: "device" }, h("h2", {}, `${place.name} on ${place.host} `, h("span", { class: "quiet" }, place.model)),
      h("p", { class: "quiet" }, [counted(place.arrays.length, "array"), counted(place.arrays.reduce((sum, array) => sum + array.members, 0), "attempt"), mean === null ? "no samples of this time" : `mean utilisation ${percent(mean)}`, hidden ? `${counted(hidden, "array")} beside others have no lane` : ""].filter(Boolean).join(" · ")),
      h("div", { class: "chart" }, svg),
      longest.length === 0 ? null : h("details", { "data-key": `longest ${place.host} ${place.name}` }, h("summary", {}, "the longest as a table"), table(`Arrays of ${place.name} on ${place.host}`, [
        { head: "kind", cell: (row) => row.kind },
        { head: "a trial of it", cell: (row) => trialLink(ctx, row.id) },
        { head: "members", num: true, cell: (row) => row.members },
        { head: "done", num: true, cell: (row) => row.done },
        { head: "began", class: "nowrap", cell: (row) => when(row.started, true) },
        { head: "took", num: true, cell: took },
      ], longest.slice(0, 30))));
  }

  function usage(place, x, width) {
    const y = (share) => 4 + (1 - Math.max(0, Math.min(1, share))) * CHART;
    const line = (value) => {
      let text = "";
      let before = null;
      for (const bucket of place.buckets) {
        const amount = value(bucket);
        if (amount === null || amount === undefined) {
          before = null;
          continue;
        }
        // A gap stays a gap.
        const joined = before !== null && bucket.at - before <= data.bucket_ms * 2.5;
        text += `${joined ? "L" : "M"}${x(bucket.at).toFixed(1)} ${y(amount).toFixed(1)}`;
        text += `L${x(bucket.at + data.bucket_ms).toFixed(1)} ${y(amount).toFixed(1)}`;
        before = bucket.at;
      }
      return text;
    };
    const total = place.device?.memory_bytes;
    const bars = place.buckets.filter((bucket) => bucket.utilisation !== null).map((bucket) => `M${x(bucket.at).toFixed(1)} ${y(0)}V${y(bucket.utilisation).toFixed(1)}H${x(bucket.at + data.bucket_ms).toFixed(1)}V${y(0)}Z`).join("");
    return [
      [0, 0.5, 1].map((tick) => [s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }), s("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, `${tick * 100} %`)]),
      s("path", { class: "area", d: bars, "shape-rendering": "crispEdges" }),
      s("path", { class: "level", d: line((bucket) => bucket.utilisation) }, s("title", {}, "utilisation")),
      total ? s("path", { class: "memory", d: line((bucket) => (bucket.memory_used_bytes === null ? null : bucket.memory_used_bytes / total)) }, s("title", {}, `memory, of ${bytes(total)}`)) : null,
    ];
  }

  function run(array, x, y) {
    const [from, to] = [x(array.started), x(end(array))];
    const width = Math.max(1.5, to - from);
    const bad = array.done + array.running < array.members;
    const text = `${array.kind}${array.members > 1 ? ` × ${array.members}` : ""}`;
    const what = `${text}, ${array.running ? (data.led ? "running" : "was running") : bad ? `${array.done} of ${array.members} ended well` : "done"}, ${time(array.started)}, ${took(array)}`;
    return s("a", { href: ctx.link(`/trial/${short(array.id)}`), tabindex: "-1", "aria-label": what },
      s("rect", { class: `run${bad ? " bad" : ""}`, x: from, y, width, height: LANE - 3, rx: 1.5, fill: colour(array.kind), "fill-opacity": array.running ? 0.7 : 1 }, s("title", {}, what)),
      width > text.length * 6 + 8 ? s("text", { x: from + 4, y: y + 9 }, text) : null);
  }

  let known = 0;
  const observer = new ResizeObserver(() => {
    if (data && body.clientWidth !== known) {
      known = body.clientWidth;
      draw();
    }
  });
  observer.observe(body);
  return { update, topics: ["trials", "devices", "progress", "coordinator"], destroy: () => observer.disconnect() };
}

/** Arrays that ran at the same time get a lane each. */
function pack(arrays, x, end) {
  const lanes = [];
  let hidden = 0;
  for (const array of [...arrays].sort((a, b) => a.started - b.started)) {
    const from = x(array.started);
    const lane = lanes.find((lane) => lane.end <= from + 0.5) ?? (lanes.length < MAX_LANES ? lanes[lanes.push([]) - 1] : null);
    if (!lane) {
      hidden += 1;
      continue;
    }
    lane.push(array);
    lane.end = Math.max(from + 1.5, x(end(array)));
  }
  return { lanes, hidden };
}

function timeTicks(from, to, about) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000].map((seconds) => seconds * 1000);
  const step = steps.find((step) => (to - from) / step <= about) ?? steps[steps.length - 1];
  const offset = (ms) => new Date(ms).getTimezoneOffset() * 60_000;
  const found = [];
  for (let local = Math.ceil((from - offset(from)) / step) * step; ; local += step) {
    // Hours and days begin where the clock on the wall says so, also after it was changed.
    const at = local + offset(step > 3600_000 ? local + offset(from) : from);
    if (at > to) break;
    const text = time(at, step >= 86400_000);
    found.push([at, step >= 86400_000 ? text.slice(0, 10) : step >= 60_000 ? text.slice(-8, -3) : text.slice(-8)]);
  }
  return found.length ? found : ticks(from, to, 2).map((at) => [at, time(at)]);
}
