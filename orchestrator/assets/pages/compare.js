// Several trials beside each other.

import { lineChart, lineSign } from "/assets/chart.js";
import { kind } from "/assets/color.js";
import { check, empty, section, select, state, trialLink } from "/assets/controls.js";
import { h, put, putControls } from "/assets/dom.js";
import { bytes, count, duration, energy, num, percent, short, val } from "/assets/format.js";

export default async function compare(ctx) {
  const controls = h("form", { class: "fields", onsubmit: (event) => {
    event.preventDefault();
    const more = new FormData(event.target).get("trial").trim().split(/[\s,]+/).filter(Boolean);
    choose([...ids(), ...more]);
    event.target.reset();
  } }, h("label", { class: "field" }, h("span", {}, "add trials"), h("input", { name: "trial", required: true, placeholder: "first digits", "data-key": "add" })), h("button", { type: "submit" }, "add"), check("only what differs", ctx.get("all") !== "1", (on) => {
    ctx.set({ all: on ? "" : "1" });
    ctx.refresh();
  }));
  const body = h("div", {});
  const curves = h("div", {});
  put(ctx.root, h("h1", {}, "Compare"), controls, body, curves);
  const chart = lineChart({ height: 320, whole: true });
  const choices = h("div", { class: "fields" });
  const drawn = section("Curves", choices, chart);

  const ids = () => ctx.get("trials").split(",").filter(Boolean);
  function choose(trials) {
    ctx.set({ trials: [...new Set(trials)].join(",") });
    return ctx.refresh();
  }

  async function update(news, ask) {
    if (!ids().length) {
      put(body, empty("No trials are chosen.", "Tick some in the list of trials, or type the first digits of their identities above."), h("p", {}, h("a", { href: ctx.link("/trials") }, "Trials")));
      put(curves);
      return;
    }
    const data = await ask("compare", { trials: ids().join(",") });
    const { trials } = data;
    const shortOf = (trial) => trial.usage.length && !trial.usage.some((row) => row.samples > 0);
    const lines = [];
    const only = ctx.get("all") !== "1" && trials.length > 1;
    const line = (name, values, { best, numeric } = {}) => {
      const texts = values.map((value) => (typeof value === "string" ? value : val(value)));
      lines.push(h("tr", {}, h("th", { scope: "row" }, name), values.map((value, at) => h("td", { class: [numeric ? "num" : "", best?.includes(at) ? "best" : ""].join(" ").trim() || null, title: typeof value === "number" ? String(value) : null }, texts[at], best?.includes(at) ? h("span", { class: "hidden" }, " (best)") : null))));
    };
    const part = (title) => lines.push(h("tr", {}, h("th", { scope: "rowgroup", colspan: trials.length + 1 }, h("strong", {}, title))));
    const names = (of) => [...new Set(trials.flatMap((trial) => Object.keys(of(trial))))];
    const parametersOf = names((trial) => trial.parameters).filter((name) => !only || new Set(trials.map((trial) => JSON.stringify(trial.parameters[name]))).size > 1);
    part(only ? "Parameters that differ" : "Parameters");
    if (!parametersOf.length) lines.push(h("tr", {}, h("td", { class: "quiet", colspan: trials.length + 1 }, "none")));
    for (const name of parametersOf) line(name, trials.map((trial) => trial.parameters[name]));
    part("Results");
    for (const name of names((trial) => trial.results)) {
      const values = trials.map((trial) => trial.results[name]);
      const goal = trials.map((trial) => trial.goals[name]).find(Boolean);
      const there = values.filter((value) => value !== undefined);
      const top = goal ? (goal > 0 ? Math.max(...there) : Math.min(...there)) : undefined;
      const best = goal && there.length > 1 ? values.flatMap((value, at) => (value === top ? [at] : [])) : [];
      line(goal ? `${name} (${goal > 0 ? "higher" : "lower"} is better)` : name, values.map((value) => (value === undefined ? "–" : num(value, 6))), { best, numeric: true });
    }
    part("What it took");
    const peak = (trial) => trial.usage.reduce((most, row) => (row.memory_peak_bytes === null ? most : Math.max(most ?? 0, row.memory_peak_bytes)), null);
    const total = (trial, name) => trial.usage.reduce((sum, row) => (row[name] === null ? sum : (sum ?? 0) + row[name]), null);
    line("last attempt", trials.map((trial) => (trial.started === null || (trial.ended === null && !data.led) ? "–" : duration((trial.ended ?? data.now) - trial.started))), { numeric: true });
    line("attempts", trials.map((trial) => String(trial.attempts)), { numeric: true });
    line("device", trials.map((trial) => trial.device ?? "–"));
    if (trials.some((trial) => trial.usage.length)) {
      line("utilisation", trials.map((trial) => shortOf(trial) ? "too short to be sampled" : percent(trial.usage.length ? total(trial, "busy_s") / total(trial, "device_s") : null)), { numeric: true });
      line("memory, peak", trials.map((trial) => shortOf(trial) ? "too short to be sampled" : bytes(peak(trial))), { numeric: true });
      line("energy", trials.map((trial) => energy(total(trial, "energy_j"))), { numeric: true });
    }
    const head = trials.map((trial, at) => {
      const { color, dash } = kind(at);
      return h("th", { scope: "col" }, h("span", { class: "legend" }, h("span", { class: "key" }, lineSign(color, dash), trialLink(ctx, trial.id)),
        h("button", { type: "button", class: "plain out", "aria-label": `leave out ${short(trial.id)}`, onclick: () => choose(ids().filter((id) => !trial.id.startsWith(id))) }, "✕")), h("div", {}, trial.stage ?? "", " ", state(trial.state)));
    });
    put(body, data.total > data.most ? h("p", { class: "wrong" }, `${count(data.total)} trials are chosen: the first ${data.most} are compared.`) : null, data.unknown.length ? h("p", { class: "state failed" }, `No trial, or several, begin with ${data.unknown.join(", ")}.`) : null,
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison" }, h("table", { class: "compared" }, h("caption", { class: "hidden" }, "Comparison of trials"), h("thead", {}, h("tr", {}, h("td", {}), head)), h("tbody", {}, lines))));
    await drawCurves(trials, news, ask);
  }

  async function drawCurves(trials, news, ask) {
    const stages = [...new Set(trials.map((trial) => trial.stage).filter(Boolean))];
    if (stages.length !== 1) {
      put(curves, stages.length > 1 ? h("p", { class: "quiet" }, "Trials of several stages have no curves in common.") : null);
      return;
    }
    const data = await ask("curves", { stage: stages[0], trials: trials.map((trial) => short(trial.id)).join(","), metric: ctx.get("metric"), points: 400 });
    if (!data.metrics.length) {
      put(curves);
      return;
    }
    const place = new Map(trials.map((trial, at) => [trial.id, at]));
    // The chart stays in its place: it may have the focus.
    if (curves.firstChild !== drawn) put(curves, drawn);
    putControls(choices, news, select("metric", data.metrics, data.metric, (metric) => {
      ctx.set({ metric });
      ctx.refresh();
    }), check("log scale", ctx.get("log") === "1", (on) => {
      ctx.set({ log: on ? "1" : "" });
      ctx.refresh();
    }));
    chart.draw({ log: ctx.get("log") === "1", yName: data.metric, xName: data.axis, series: data.curves.map((curve) => ({ key: curve.id, name: short(curve.id), points: curve.points, ...kind(place.get(curve.id)), onpick: () => ctx.go(`/trial/${short(curve.id)}`) })) });
  }

  return { update, topics: ["trials", "progress"] };
}
