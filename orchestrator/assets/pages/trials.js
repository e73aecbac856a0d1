// All trials of a stage: to search, sort and choose.

import { asked, check, empty, filters, search, select, shown, stages, state, table, trialLink } from "/assets/controls.js";
import { h, put } from "/assets/dom.js";
import { count, counted, duration, percent, score, short } from "/assets/format.js";

const PAGE = 100;
// Results that are shown unless others are chosen.
const USUAL = 6;

export default async function trials(ctx) {
  const picked = new Set(ctx.get("pick").split(",").filter(Boolean));
  const controls = h("div", { class: "fields" });
  const body = h("div", {});
  const bar = h("div", { class: "pickbar", hidden: true });
  put(ctx.root, h("h1", {}, "Trials"), controls, body, bar);
  let fields = null;
  let running = false;

  function drawControls() {
    put(controls,
      stages(ctx, fields, () => ctx.refresh()),
      select("state", [["", "all"], "running", "ready", "waiting", "done", ["unsuccessful", "without result"], "failed", "diverged", "cancelled"], ctx.get("state"), (value) => choose({ state: value })),
      search(ctx, "search", ctx.get("q"), (value) => choose({ q: value })),
      filters(ctx, fields, () => choose({})));
  }

  function choose(changes) {
    ctx.set({ offset: "", ...changes });
    return ctx.refresh();
  }

  function pick(id, chosen) {
    if (chosen) picked.add(id);
    else picked.delete(id);
    ctx.set({ pick: [...picked].join(",") });
    drawBar();
  }

  function drawBar() {
    bar.hidden = picked.size === 0;
    const ids = [...picked].join(",");
    put(bar, h("span", {}, `${counted(picked.size, "trial")} chosen`),
      h("a", { href: ctx.link(`/compare?trials=${ids}`) }, "compare"),
      h("a", { href: ctx.link(`/curves?trials=${ids}`) }, "curves"),
      h("button", { type: "button", onclick: () => {
        picked.clear();
        ctx.set({ pick: "" });
        for (const box of body.querySelectorAll("input[type=checkbox]")) box.checked = false;
        drawBar();
      } }, "clear"));
  }

  async function update(news, ask) {
    const [sort, dir, offset] = [ctx.get("sort") || "plan", ctx.get("dir") || "asc", Number(ctx.get("offset")) || 0];
    const data = await ask("trials", { stage: ctx.get("stage"), state: ctx.get("state"), q: ctx.get("q"), sort, dir, offset, limit: PAGE, ...asked(ctx) });
    // The list may have become shorter than where somebody was.
    if (!data.rows.length && offset > 0) {
      ctx.set({ offset: "" });
      return update(news, ask);
    }
    // The first trials that are done tell which results there are.
    const other = fields?.stage !== data.stage;
    if (other || data.rows.some((row) => Object.keys(row.results).some((name) => !fields.results.includes(name)))) fields = await ask("fields", { stage: data.stage });
    if (other) drawControls();
    running = data.led && data.rows.some((row) => row.state === "running");
    const stage = fields.stages.find((stage) => stage.name === data.stage);
    // The result that counts, and the rest of the few that people look at.
    const there = fields.results.filter((name) => name === stage?.metric || data.rows.some((row) => name in row.results));
    const rank = (name) => (name === stage?.metric ? 0 : name.startsWith("val_") ? 1 : /auroc|accuracy|dice|loss/.test(name) ? 2 : 3);
    const sorted = [...there].sort((a, b) => rank(a) - rank(b));
    const wanted = ctx.get("columns") ? ctx.get("columns").split(",") : sorted.slice(0, USUAL);
    const results = sorted.filter((name) => wanted.includes(name));
    const offer = there.length > 1 ? h("details", { class: "columns" }, h("summary", {}, "choose results"), h("div", { class: "fields" }, sorted.map((name) => check(name, results.includes(name), (on) => {
      const next = sorted.filter((other) => (other === name ? on : results.includes(other)));
      ctx.set({ columns: next.join(",") === sorted.slice(0, USUAL).join(",") ? "" : next.join(",") || "none" });
      ctx.refresh();
    }, `column-${name}`)))) : null;
    const columns = [
      { head: h("span", { class: "hidden" }, "chosen"), cell: (row) => h("input", { type: "checkbox", "aria-label": `choose ${short(row.id)}`, checked: picked.has(short(row.id)), "data-key": `pick-${short(row.id)}`, onchange: (event) => pick(short(row.id), event.target.checked) }) },
      { head: "trial", sort: "plan", cell: (row) => trialLink(ctx, row.id) },
      { head: "state", sort: "state", cell: (row) => [state(row.state), row.done === null ? "" : ` ${percent(row.done)}`] },
      ...results.map((name) => ({ head: name, num: true, sort: `r.${name}`, cell: (row) => (row.results[name] === undefined ? h("span", { class: "quiet" }, "–") : score(row.results[name], name)) })),
      ...data.parameters.map((name) => ({ head: name, num: fields.parameters.find((field) => field.name === name)?.numeric, sort: `p.${name}`, cell: (row) => shown(row.parameters[name]) })),
      { head: "attempts", num: true, cell: (row) => row.attempts },
      { head: "took", num: true, cell: (row) => (row.started === null || (row.ended === null && !data.led) ? "–" : duration((row.ended ?? data.now) - row.started)) },
      { head: "device", cell: (row) => row.device ?? "" },
    ];
    const last = Math.min(offset + data.rows.length, data.total);
    put(body,
      offer,
      h("p", { class: "quiet" }, data.total === data.all ? counted(data.all, "trial") : `${count(data.total)} of ${counted(data.all, "trial")}`),
      data.rows.length ? table(`Trials of ${data.stage}`, columns, data.rows, { sort, dir, onsort: (sort, dir) => choose({ sort, dir }), rowProps: (row) => ({ class: picked.has(short(row.id)) ? "picked" : null }) })
        : empty("No trial is like that.", "Choose `all`, or search for less."),
      data.total > PAGE ? h("div", { class: "pages" },
        h("button", { type: "button", disabled: offset === 0, "data-key": "before", onclick: () => choose({ offset: Math.max(0, offset - PAGE) || "" }) }, "← before"),
        h("span", {}, `${count(offset + 1)} to ${count(last)} of ${count(data.total)}`),
        h("button", { type: "button", disabled: last >= data.total, "data-key": "after", onclick: () => choose({ offset: offset + PAGE }) }, "after →")) : null);
    drawBar();
    return undefined;
  }

  return { update, topics: ["trials"], timed: () => running };
}
