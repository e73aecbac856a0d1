// Learning curves of many trials.

import { lineChart, lineSign } from "/assets/chart.js";
import { kind, lineColor, share } from "/assets/color.js";
import { asked, check, empty, filters, parameters, same, select, stages, state, table, told, trialLink } from "/assets/controls.js";
import { h, put, putControls } from "/assets/dom.js";
import { count, counted, num, score, short, val } from "/assets/format.js";

export default async function curves(ctx) {
  const controls = h("div", { class: "fields" });
  const legend = h("div", { class: "legend" });
  const note = h("p", { class: "quiet" });
  const body = h("div", {});
  const chart = lineChart({ height: Math.max(300, Math.min(520, window.innerHeight - 330)), whole: true });
  put(ctx.root, h("h1", {}, "Learning curves"), controls, note, chart, legend, body);
  let fields = null;
  let data = null;

  function drawControls(news) {
    const named = ctx.get("trials");
    const slider = h("label", { class: "field" }, h("span", {}, "smoothing"), h("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: ctx.get("smooth") || 0, "data-key": "smooth", oninput: (event) => {
      ctx.set({ smooth: Number(event.target.value) || "" });
      draw();
    } }));
    putControls(controls, news,
      named ? h("button", { type: "button", onclick: () => {
        ctx.set({ trials: "" });
        ctx.refresh();
      } }, `${counted(named.split(",").length, "chosen trial")} ✕`) : stages(ctx, fields, () => ctx.refresh()),
      select("metric", data?.metrics?.length ? data.metrics : [["", "–"]], data?.metric ?? "", (value) => {
        ctx.set({ metric: value });
        ctx.refresh();
      }),
      named ? null : select("trials", [["", "running, then best"], "best", "worst", "running", ["first", "first of the plan"], ["last", "last of the plan"]], ctx.get("which"), (value) => {
        ctx.set({ which: value });
        ctx.refresh();
      }),
      named ? null : select("at most", ["10", "30", "60", "120", "200"], ctx.get("n") || "30", (value) => {
        ctx.set({ n: value });
        ctx.refresh();
      }),
      select("colour by", [["", "trial"], [":result", data?.result ?? "result"], ...fields.parameters.map((parameter) => parameter.name)], ctx.get("color"), (value) => {
        ctx.set({ color: value });
        draw();
      }),
      slider,
      check("log scale", ctx.get("log") === "1", (on) => {
        ctx.set({ log: on ? "1" : "" });
        draw();
      }),
      named ? null : filters(ctx, fields, () => ctx.refresh()));
  }

  function colours() {
    const by = ctx.get("color");
    if (by === ":result") {
      const values = data.curves.map((curve) => curve.value).filter((value) => value !== null);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return { of: (curve) => ({ color: curve.value === null ? "var(--quiet)" : lineColor(share(curve.value, low, high)), dash: curve.value === null ? "2 3" : "none" }), keys: values.length ? [[`${data.result} ${score(low)}`, lineColor(0)], ["", lineColor(0.5)], [score(high), lineColor(1)]] : [] };
    }
    const field = fields.parameters.find((parameter) => parameter.name === by);
    if (field) {
      const places = new Map(field.values.map((value, index) => [same(value), index]));
      const of = (curve) => kind(places.get(same(curve.parameters[by] ?? null)) ?? 7);
      const used = [...places].filter(([value]) => data.curves.some((curve) => same(curve.parameters[by] ?? null) === value));
      return { of, keys: used.slice(0, 40).map(([value, index]) => [`${by} ${told(value)}`, kind(index).color, kind(index).dash]) };
    }
    const place = new Map(data.curves.map((curve, index) => [curve.id, index]));
    const few = data.curves.length <= 12;
    return { of: (curve) => kind(place.get(curve.id)), keys: few ? data.curves.map((curve) => [name(curve), kind(place.get(curve.id)).color, kind(place.get(curve.id)).dash, curve.id]) : [] };
  }

  // What tells a trial from the others in view.
  function name(curve) {
    const differ = Object.keys(curve.parameters).filter((name) => data.curves.some((other) => String(other.parameters[name]) !== String(curve.parameters[name])));
    const texts = differ.slice(0, 4).map((name) => val(curve.parameters[name]));
    return texts.length ? texts.join(" · ") : short(curve.id);
  }

  function draw() {
    const { of, keys } = colours();
    const series = data.curves.map((curve) => ({
      key: curve.id, name: short(curve.id), points: curve.points, ...of(curve),
      about: [parameters(curve.parameters), curve.value === null ? null : h("div", {}, h("span", { class: "quiet" }, `${data.result} `), score(curve.value))],
      onpick: () => ctx.go(`/trial/${short(curve.id)}`),
    }));
    chart.draw({ series, weight: Number(ctx.get("smooth")) || 0, log: ctx.get("log") === "1", yName: data.metric ?? "", xName: data.axis });
    put(legend, keys.map(([text, color, dash, id]) => h("span", { class: "key", onpointerenter: id ? () => chart.light(id) : null, onpointerleave: id ? () => chart.light(null) : null }, lineSign(color, dash), text)));
  }

  async function update(news, ask) {
    const found = await ask("curves", { stage: ctx.get("stage"), metric: ctx.get("metric"), which: ctx.get("which"), n: ctx.get("n"), trials: ctx.get("trials"), points: 300, ...asked(ctx) });
    // The usual stage is that which runs; what somebody looks at stays.
    if (!ctx.get("stage") && !ctx.get("trials")) ctx.set({ stage: found.stage });
    if (found.stage !== fields?.stage) fields = await ask("fields", { stage: found.stage });
    data = found;
    drawControls(news);
    draw();
    const parts = [`${data.metric ?? "no metric"} of ${count(data.curves.length)} of ${counted(data.total, "trial")} of ${data.stage}`];
    if (data.stride > 1) parts.push(`every ${data.stride} ${data.axis}s`);
    parts.push("point at a curve, or use the arrow keys; click or Enter opens its trial");
    note.textContent = parts.join(" · ");
    chart.hidden = data.curves.length === 0;
    const last = (curve) => curve.points[curve.points.length - 1]?.[1];
    const lowest = (curve) => curve.points.reduce((least, point) => Math.min(least, point[1]), Infinity);
    put(body, data.curves.length ? h("details", { open: false }, h("summary", {}, "as a table"), table("Curves", [
      { head: "trial", cell: (curve) => trialLink(ctx, curve.id) },
      { head: "state", cell: (curve) => state(curve.state) },
      { head: "points", num: true, cell: (curve) => count(curve.points.length) },
      { head: `last ${data.metric}`, num: true, cell: (curve) => num(last(curve)) },
      { head: "lowest", num: true, cell: (curve) => (curve.points.length ? num(lowest(curve)) : "–") },
      { head: data.result ?? "result", num: true, cell: (curve) => score(curve.value, data.result) },
      { head: "parameters", cell: (curve) => parameters(curve.parameters) },
    ], data.curves)) : data.more && !ctx.get("which") ? empty(`No trial of ${data.stage} has reported anything yet.`, "Curves appear by themselves with the first epoch that is done.")
      : empty(data.metrics.length ? "No trial of these has a curve yet." : `Trials of ${data.stage} report no metrics over time.`, "Choose another stage, or other trials."));
  }

  // Colours of amounts are lighter on a dark page.
  const themed = () => data && draw();
  window.addEventListener("themechange", themed);
  return { update, topics: ["progress", "trials"], destroy: () => window.removeEventListener("themechange", themed) };
}
