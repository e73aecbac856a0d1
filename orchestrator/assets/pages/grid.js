// Results as heat maps: rows, columns, and a panel for each value of a third parameter.

import { ink, share, viridis } from "/assets/color.js";
import { cure, empty, select, stages, told } from "/assets/controls.js";
import { h, put, putControls } from "/assets/dom.js";
import { counted, num, score, val } from "/assets/format.js";

export default async function grid(ctx) {
  const controls = h("div", { class: "fields" });
  const note = h("p", { class: "quiet" });
  const legend = h("div", { class: "legend" });
  const tip = h("div", { class: "tip", hidden: true, role: "status" });
  const panels = h("div", { class: "panels" });
  const ignored = h("div", { class: "wrong", role: "status", hidden: true });
  put(ctx.root, h("h1", {}, "Grid"), controls, ignored, note, legend, panels);
  let fields = null;

  const choose = (changes) => {
    ctx.set(changes);
    return ctx.refresh();
  };

  async function update(news, ask) {
    const wanted = Object.fromEntries(Object.entries(ctx.all("f.")).map(([name, value]) => [`f.${name}`, value]));
    const [data, known] = await Promise.all([
      ask("grid", { stage: ctx.get("stage"), row: ctx.get("row"), column: ctx.get("column"), by: ctx.get("by"), value: ctx.get("value"), ...wanted }),
      ask("fields", { stage: ctx.get("stage") }),
    ]);
    fields = known;
    const none = ["-", "none"];
    putControls(controls, news,
      stages(ctx, fields, () => ctx.refresh()),
      select("value", fields.results.length ? fields.results : [[data.value ?? "", data.value ?? "–"]], data.value ?? "", (value) => choose({ value })),
      select("rows", [none, ...data.choices], data.row ?? "-", (row) => choose({ row })),
      select("columns", [none, ...data.choices], data.column ?? "-", (column) => choose({ column })),
      select("a panel for each", [none, ...data.choices], data.by ?? "-", (by) => choose({ by })),
      data.filters.map((filter) => select(filter.name, [...filter.values.map((value) => [value, told(value)]), ["*", "all, averaged"]], filter.value, (value) => choose({ [`f.${filter.name}`]: value }), `f.${filter.name}`)));
    ignored.hidden = !data.ignored.length;
    put(ignored, data.ignored.map((text) => h("p", {}, "Passed over in the address: ", cure(text), ".")));
    draw(data);
  }

  function draw(data) {
    const { table } = data;
    const cells = [];
    table.rows.forEach((row) => row.cells.forEach((cell, at) => {
      const of = { ...row.parameters, ...table.columns[at] };
      cells.push({ cell, panel: of[data.by], row: of[data.row], column: of[data.column] });
    }));
    const distinct = (name) => {
      const values = [];
      for (const cell of cells) if (!values.some((value) => value === cell[name])) values.push(cell[name]);
      return values;
    };
    const means = cells.map(({ cell }) => cell?.mean).filter((mean) => mean !== null && mean !== undefined);
    const [low, high] = [Math.min(...means), Math.max(...means)];
    const done = cells.filter(({ cell }) => cell?.mean !== null && cell?.mean !== undefined).length;
    note.textContent = means.length ? `${data.value} of ${data.stage}: mean of each cell's trials${data.seeds ? ", over seeds" : ""}, ± standard deviation · ${done} of ${counted(cells.length, "cell")} have a result` : "";
    put(legend, means.length ? [h("span", { class: "scale" }, score(low), ramp(), score(high)),
      h("span", { class: "quiet" }, data.maximize === null || !cells.some(({ cell }) => cell?.best) ? "" : `bold and underlined: the best of its column (${data.maximize ? "higher" : "lower"} is better)`),
      table.reference ? h("span", { class: "quiet" }, `small: ${table.reference.citation}`) : null] : null);
    if (!cells.length) {
      put(panels, empty(`No trials of ${data.stage} make a grid.`, "Choose another stage, or parameters for rows and columns."));
      return;
    }
    const [rows, columns] = [distinct("row"), distinct("column")];
    put(panels, distinct("panel").map((panel) => heat(data, cells, panel, rows, columns, low, high)), tip);
  }

  function heat(data, cells, panel, rows, columns, low, high) {
    const find = (row, column) => cells.find((cell) => cell.panel === panel && cell.row === row && cell.column === column)?.cell;
    let first = true;
    const cell = (row, column) => {
      const found = find(row, column);
      const name = [data.row && `${data.row} ${val(row)}`, data.column && `${data.column} ${val(column)}`, data.by && `${data.by} ${val(panel)}`].filter(Boolean).join(", ");
      const props = { "data-key": `cell ${name}`, tabindex: first ? "0" : "-1", onpointerenter: (event) => show(event.currentTarget, name, found), onpointerleave: hide, onfocus: (event) => show(event.currentTarget, name, found), onblur: hide };
      first = false;
      if (!found || found.mean === null) {
        const why = found ? found.state : "no such trial";
        return h("td", { class: "cell none", "aria-label": `${name}: ${why}`, ...props }, why);
      }
      const place = share(found.mean, low, high);
      return h("td", { class: `cell${found.best ? " best" : ""}`, css: { background: viridis(place), color: ink(place) }, "aria-label": `${name}: ${words(found)}`, "data-mean": found.mean, ...props },
        h("b", {}, score(found.mean, data.value)), h("small", {}, found.sd !== null && found.sd !== undefined ? `± ${spread(found)}` : `n = ${found.n}`), found.reference === null ? null : h("small", {}, `paper ${score(found.reference)}`));
    };
    const element = h("div", { class: "heat" },
      data.by ? h("h3", {}, `${data.by} ${val(panel)}`) : null,
      h("table", { onkeydown: move },
        h("caption", { class: "hidden" }, `${data.value}${data.by ? `, ${data.by} ${val(panel)}` : ""}: rows ${data.row ?? "all"}, columns ${data.column ?? "all"}`),
        h("thead", {}, h("tr", {}, h("td", { class: "quiet" }, [data.row, data.column].filter(Boolean).join(" \\ ")), columns.map((column) => h("th", { scope: "col" }, data.column ? val(column) : data.value)))),
        h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, data.row ? val(row) : "all"), columns.map((column) => cell(row, column)))))));
    return element;
  }

  function words(found) {
    const parts = [`mean ${num(found.mean, 5)}`, counted(found.n, "result")];
    if (found.sd !== null) parts.push(`standard deviation ${num(found.sd, 3)}`);
    if (found.ci95 !== null) parts.push(`95 % interval ± ${num(found.ci95, 3)}`);
    if (found.reference !== null) parts.push(`paper ${score(found.reference)}, difference ${found.difference > 0 ? "+" : ""}${num(found.difference, 2)}`);
    return parts.join(", ");
  }

  function show(element, name, found) {
    const line = (what, value) => h("div", {}, h("span", { class: "quiet" }, `${what} `), value);
    put(tip, h("div", {}, h("b", {}, name)), found && found.mean !== null ? [
      line("mean", num(found.mean, 5)),
      line("n", `${found.n} of ${counted(found.trials, "trial")}`),
      found.sd === null ? null : line("standard deviation", num(found.sd, 3)),
      found.ci95 === null ? null : line("95 % interval of the mean", `± ${num(found.ci95, 3)}`),
      line("least, greatest", `${num(found.min, 4)}, ${num(found.max, 4)}`),
      found.reference === null ? null : line("paper", `${score(found.reference)} (difference ${found.difference > 0 ? "+" : ""}${num(found.difference, 2)})`),
      found.reason ? line("others", found.reason) : null,
    ] : h("div", {}, found ? found.state : "no such trial"));
    tip.hidden = false;
    const [box, around] = [element.getBoundingClientRect(), panels.getBoundingClientRect()];
    const left = Math.max(0, Math.min(box.left - around.left, around.width - tip.offsetWidth));
    tip.style.transform = `translate(${left}px, ${box.bottom - around.top + 6}px)`;
  }

  function hide() {
    tip.hidden = true;
  }

  // Arrow keys go from cell to cell; only one of each panel is in the order of Tab.
  function move(event) {
    const way = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    const from = event.target.closest("td.cell");
    if (!way || !from) return;
    event.preventDefault();
    const lines = [...event.currentTarget.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td.cell")]);
    const line = lines.findIndex((cells) => cells.includes(from));
    const to = lines[line + way[0]]?.[lines[line].indexOf(from) + way[1]];
    if (!to) return;
    from.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  }

  return { update, topics: ["trials"] };
}

/** A standard deviation with the decimals of its mean, or one more where that would be nothing. */
function spread({ mean, sd }) {
  return Math.abs(mean) <= 1.5 && Math.abs(mean) >= 0.001 ? sd.toFixed(sd >= 0.0005 ? 3 : 4) : num(sd, 3);
}

function ramp() {
  const canvas = h("canvas", { width: 150, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let x = 0; x < 150; x += 1) {
    context.fillStyle = viridis(x / 149);
    context.fillRect(x, 0, 1, 1);
  }
  return canvas;
}
