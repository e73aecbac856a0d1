// A sweep at a glance.

import { spark } from "/assets/chart.js";
import { bar, cure, empty, parameters, section, shown, state, table, trialLink, when } from "/assets/controls.js";
import { h, put } from "/assets/dom.js";
import { bytes, count, counted, duration, num, percent, score, time, zone } from "/assets/format.js";

export default async function overview(ctx) {
  let open = true;
  async function update(news, ask) {
    const [data, sweeps] = await Promise.all([ask("overview"), ask("sweeps", { offset: ctx.get("from") })]);
    open = !data.finished;
    document.title = `${data.finished ? "" : `${percent(data.done / Math.max(1, data.total))} · `}${data.sweep.name} · Permafrost`;
    put(ctx.root, head(data), progress(ctx, data), running(ctx, data), failures(ctx, data), h("div", { class: "two" }, best(ctx, data), devices(ctx, data)), events(ctx, data), list(ctx, sweeps, data));
  }
  return { update, topics: ["sweeps", "trials", "progress", "events", "devices", "coordinator"], timed: () => open };
}

function head({ sweep, ...data }) {
  const failed = data.stages.reduce((sum, stage) => sum + stage.without_result, 0);
  const sum = (name) => data.stages.reduce((sum, stage) => sum + stage[name], 0);
  const fact = (value, what, title) => h("div", { class: "fact", title }, h("b", {}, value), h("span", {}, what));
  const parts = [{ name: "done", value: data.done }, { name: "running", value: sum("running") }, { name: "without", value: failed }];
  return [
    h("h1", {}, sweep.name, " ", h("span", { class: "quiet" }, `revision ${sweep.revision}`)),
    h("p", { class: "quiet tags" }, `launched ${time(sweep.submitted, true)}`, h("span", { title: "of this browser; all times are" }, ` ${zone(sweep.submitted)}`), sweep.tags.length ? ` · ${sweep.tags.join(", ")}` : ""),
    h("div", { class: "facts" },
      fact(`${count(data.done)} / ${count(data.total)}`, "trials done"),
      fact(count(sum("running")), data.state === "stopped" && sum("running") ? "were running" : "running"),
      fact(count(sum("ready") + sum("waiting") - sum("blocked")), "to run", `${count(sum("ready"))} could run now, ${count(sum("waiting") - sum("blocked"))} wait for inputs`),
      sum("blocked") ? fact(count(sum("blocked")), "blocked", "An input has ended without a result") : null,
      fact(count(failed), "without result"),
      fact(data.state, "state"),
      data.finished || data.state === "stopped" ? null : fact(left(data), "left"),
      fact(count(data.workers_here), data.workers_here === 1 ? "worker" : "workers")),
    bar(parts, data.total, `${data.done} of ${data.total} trials done, ${sum("running")} running, ${failed} without result`),
    data.state === "stopped" ? empty("The sweep has stopped: no coordinator leads it.", "Launch its file again, and it goes on where it was: `permafrost launch FILE`")
      : !data.finished && data.workers_here === 0 ? empty("No worker is there: nothing goes on.", "Start one: `permafrost worker`, or launch the file again: `permafrost launch FILE`") : null,
  ];
}

function timeLeft({ ms, at_least }) {
  return ms === null ? null : `${at_least ? "> " : "≈ "}${duration(ms)}`;
}

function left(data) {
  return timeLeft(data.left) ?? (data.workers_here ? "not known yet" : "–");
}

function progress(ctx, data) {
  const parts = (stage) => [{ name: "done", value: stage.done }, { name: "running", value: stage.running }, { name: "without", value: stage.without_result }];
  const number = (name) => ({ head: name.replace("_", " "), num: true, cell: (stage) => (stage[name] ? count(stage[name]) : h("span", { class: "quiet" }, "0")) });
  return section("Stages", table("Stages", [
    { head: "stage", cell: (stage) => h("a", { href: ctx.link(`/trials?stage=${encodeURIComponent(stage.stage)}`), "data-key": `stage-${stage.stage}`, title: stage.note }, stage.stage) },
    { head: "progress", class: "wide", cell: (stage) => bar(parts(stage), stage.total, `${stage.done} of ${stage.total} done`) },
    number("done"), number("running"), number("ready"), number("waiting"), number("without_result"),
    { head: "trials", num: true, cell: (stage) => count(stage.total) },
    { head: "reused", num: true, title: "Were done before this sweep was launched", cell: (stage) => (stage.reused ? count(stage.reused) : h("span", { class: "quiet" }, "0")) },
    { head: "mean time", num: true, title: "Mean time of a device for one; members of an array share it", cell: (stage) => duration(stage.mean_ms) },
    { head: "left", num: true, title: "If all workers that are there did nothing else", cell: (stage) => timeLeft(stage.left) ?? "–" },
  ], data.stages));
}

function running(ctx, data) {
  if (!data.running.length) return null;
  // Without a coordinator nobody runs it: the clock of what it left behind stands.
  const stopped = data.state === "stopped";
  const last = (row) => row.curve[row.curve.length - 1]?.[1];
  // A list of trials is one of a stage.
  const hidden = data.stages.map(({ stage, running }) => [stage, running - data.running.filter((row) => row.stage === stage).length]).filter(([, more]) => more > 0);
  const run = (more) => (stopped ? (more === 1 ? "was running" : "were running") : more === 1 ? "runs" : "run");
  const link = ([stage, more], index) => [index ? " · " : "", h("a", { href: ctx.link(`/trials?stage=${encodeURIComponent(stage)}&state=running`) }, `${counted(more, "more trial")} of ${stage} ${run(more)}`)];
  return section(stopped ? `Was running (${count(data.running_total)})` : `Running (${count(data.running_total)})`, stopped ? h("p", { class: "quiet" }, "When the sweep goes on, these are tried again from where they were saved.") : null, table("Running trials", [
    { head: "trial", cell: (row) => trialLink(ctx, row.id) },
    { head: "stage", cell: (row) => row.stage },
    { head: "parameters", cell: (row) => parameters(row.parameters) },
    { head: "loss", class: "nowrap", cell: (row) => (row.metric ? [spark(row.curve, `${row.metric}, last ${num(last(row))}`), " ", h("span", { class: "quiet" }, row.metric), " ", last(row) === undefined ? "" : num(last(row))] : h("span", { class: "quiet" }, "–")) },
    { head: "done", num: true, cell: (row) => percent(row.done) },
    { head: "since", num: true, cell: (row) => (stopped || row.begun === null ? "–" : duration(data.now - row.begun)) },
    { head: "device", class: "nowrap", cell: (row) => `${row.device} on ${row.host}` },
  ], data.running), hidden.length ? h("p", {}, hidden.map(link)) : null);
}

function failures(ctx, data) {
  if (!data.failures.length) return null;
  return section("Without result", data.failures.map((reason) => {
    const more = reason.trials - reason.examples.length;
    return h("div", { class: "reason" },
      h("p", {}, state(reason.state), reason.class ? h("span", { class: "quiet" }, ` (${reason.class})`) : null, ` · ${counted(reason.trials, "trial")}: `,
        reason.examples.map((id) => [trialLink(ctx, id), " "]), more > 0 ? h("span", { class: "quiet" }, `and ${count(more)} more`) : null),
      reason.message && h("p", { class: "message" }, reason.message),
      reason.cure && h("p", {}, h("strong", {}, "What to do: "), cure(reason.cure)));
  }), h("p", { class: "quiet" }, cure("`permafrost retry --failed` runs them again when their sweep is launched.")));
}

function best(ctx, data) {
  if (!data.best) return h("div", {});
  const { stage, metric, maximize, trials } = data.best;
  if (!trials.length) return section(`Best ${metric} of ${stage}`, h("p", { class: "quiet" }, "No trial of this stage is done yet."));
  const names = [...new Set(trials.flatMap((row) => Object.keys(row.parameters)))];
  const picked = trials.map((row) => row.id.slice(0, 10)).join(",");
  return section(`Best ${metric} of ${stage} (${maximize ? "highest" : "lowest"} first)`, table("Best trials", [
    { head: "trial", cell: (row) => trialLink(ctx, row.id) },
    { head: metric, num: true, cell: (row) => score(row.value, metric) },
    ...names.map((name) => ({ head: name, num: trials.every((row) => typeof (row.parameters[name] ?? 0) === "number"), cell: (row) => shown(row.parameters[name]) })),
  ], trials), h("p", {}, h("a", { href: ctx.link(`/compare?trials=${picked}`) }, "compare"), " · ", h("a", { href: ctx.link(`/trials?stage=${encodeURIComponent(stage)}&sort=r.${encodeURIComponent(metric)}&dir=${maximize ? "desc" : "asc"}`) }, "all"), " · ", h("a", { href: ctx.link("/grid") }, "as a grid")));
}

function devices(ctx, data) {
  if (data.devices.length) {
    return section("Devices", table("Devices", [
      { head: "device", class: "nowrap", cell: (row) => h("a", { href: ctx.link("/devices"), title: row.model }, `${row.name} on ${row.host}`) },
      { head: "utilisation", cell: (row) => [bar([{ name: "used", value: row.utilisation ?? 0 }], 1, `utilisation ${percent(row.utilisation)}`)] },
      { head: "", num: true, cell: (row) => percent(row.utilisation) },
      { head: "memory", num: true, cell: (row) => `${bytes(row.memory_used_bytes)} of ${bytes(row.memory_bytes)}` },
      { head: "power", num: true, cell: (row) => (row.power_w === null ? "–" : `${Math.round(row.power_w)} W`) },
      { head: "", num: true, cell: (row) => (row.temperature_c === null ? "" : `${Math.round(row.temperature_c)} °C`) },
      { head: "trials", num: true, cell: (row) => count(row.members) },
    ], data.devices));
  }
  if (!data.workers.length) return section("Devices", h("p", { class: "quiet" }, "No worker is there now. ", h("a", { href: ctx.link("/devices") }, "What ran where")));
  return section("Workers", table("Workers", [
    { head: "device", cell: (row) => `${row.device} on ${row.host}` },
    { head: "model", cell: (row) => row.model },
    { head: "trials", num: true, cell: (row) => count(row.running) },
    { head: "heard", num: true, cell: (row) => when(row.last_seen) },
  ], data.workers));
}

function events(ctx, data) {
  return section("Events", data.events.length ? table("Events", [
    { head: "time", class: "tight", cell: (row) => when(row.at) },
    { head: "event", class: "tight", cell: (row) => row.kind },
    { head: "trial", class: "tight", cell: (row) => (row.id ? trialLink(ctx, row.id) : "") },
    { head: "detail", cell: (row) => h("span", { class: "message" }, row.detail ?? "") },
  ], data.events) : h("p", { class: "quiet" }, "None yet."));
}

function list(ctx, answer, data) {
  if (answer.total < 2) return null;
  const total = (row) => Object.values(row.counts).reduce((sum, number) => sum + number, 0);
  const bad = (row) => ["failed", "diverged", "pruned", "cancelled"].reduce((sum, name) => sum + (row.counts[name] ?? 0), 0);
  const page = (from, text) => h("a", { href: ctx.link(`/?from=${from}`) }, text);
  return section(`Sweeps (${count(answer.total)})`, table("Sweeps", [
    { head: "sweep", class: "tight", cell: (row) => h("a", { href: ctx.sweepLink(row), "aria-current": row.sweep === data.sweep.sweep ? "true" : null }, row.name) },
    { head: "revision", num: true, cell: (row) => row.revision },
    { head: "launched", class: "nowrap", cell: (row) => when(row.submitted, true) },
    { head: "progress", class: "wide", cell: (row) => bar([{ name: "done", value: row.counts.done ?? 0 }, { name: "running", value: row.counts.running ?? 0 }, { name: "without", value: bad(row) }], total(row), `${row.counts.done ?? 0} of ${total(row)} done`) },
    { head: "done", num: true, cell: (row) => `${count(row.counts.done ?? 0)} / ${count(total(row))}` },
    { head: "without result", num: true, cell: (row) => (bad(row) ? count(bad(row)) : h("span", { class: "quiet" }, "0")) },
    { head: "tags", class: "tags", cell: (row) => row.tags.join(", ") },
  ], answer.sweeps),
  answer.total > answer.sweeps.length ? h("p", { class: "pages" }, answer.offset > 0 ? page(Math.max(0, answer.offset - 20), "newer") : null, answer.offset + answer.sweeps.length < answer.total ? page(answer.offset + 20, "older") : null) : null);
}
