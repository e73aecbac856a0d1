// Parts that several pages use.

import { download } from "/assets/api.js";
import { h, put } from "/assets/dom.js";
import { count, isSeed, short, time, val, zone } from "/assets/format.js";

const SIGNS = { done: "✓", running: "▶", ready: "○", waiting: "·", failed: "✕", diverged: "≈", pruned: "✂", cancelled: "⊘", lost: "?", "pre-empted": "↻" };

/** A state: a sign, a word and a colour. */
export function state(name) {
  return h("span", { class: `state ${name}` }, h("span", { "aria-hidden": "true" }, SIGNS[name] ?? "·"), ` ${name}`);
}

/** What went wrong, with what to do about it. */
export function failure(error, again) {
  return h("div", { class: "failure", role: "alert" },
    h("p", {}, h("strong", {}, error.message)),
    error.cure && h("p", {}, cure(error.cure)),
    again && h("p", {}, h("button", { type: "button", onclick: again }, "Try again")));
}

/** Advice in which `...` stands for something to type. */
export function cure(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** A button that saves a file, with what goes wrong beside it. `path()` is asked when it is used. */
export function saver(text, path, name) {
  const wrong = h("span", { class: "wrong", role: "alert" });
  const button = h("button", { type: "button", class: "link", onclick: async () => {
    button.disabled = true;
    put(wrong);
    try {
      await download(path(), name);
    } catch (error) {
      put(wrong, ` ${error.message}`, error.cure ? [": ", cure(error.cure)] : null);
    } finally {
      button.disabled = false;
    }
  } }, text);
  return h("span", {}, button, wrong);
}

/** Nothing to show, and what to do about it. */
export function empty(text, hint) {
  return h("div", { class: "empty" }, h("p", {}, text), hint && h("p", { class: "quiet" }, cure(hint)));
}

/** A link to a trial. */
export function trialLink(ctx, id, text) {
  return h("a", { class: "id", href: ctx.link(`/trial/${short(id)}`), "data-key": `trial-${short(id)}` }, text ?? short(id));
}

/** A choice with a label; options are texts, or pairs of value and text. */
export function select(label, options, value, onchange, key = label) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const known = pairs.some(([known]) => known === value);
  return h("label", { class: "field" }, h("span", {}, label),
    h("select", { "data-key": key, onchange: (event) => onchange(event.target.value) },
      pairs.map(([option, text]) => h("option", { value: option, selected: known && option === value }, text))));
}

/** A box to tick; `not` says why it cannot be. */
export function check(label, checked, onchange, key = label, not = null) {
  return h("label", { class: "field tick", title: not }, h("input", { type: "checkbox", checked, disabled: not !== null, "data-key": key, onchange: (event) => onchange(event.target.checked) }), h("span", {}, label));
}

/** A field for text that waits until one has stopped typing. */
export function search(ctx, label, value, onchange) {
  let timer = 0;
  return h("label", { class: "field" }, h("span", {}, label),
    h("input", { type: "search", value, "data-key": label, placeholder: "text=bert, or digits of a trial", oninput: (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        // The page may have been left meanwhile.
        if (!ctx.signal.aborted) onchange(event.target.value);
      }, 250);
    } }));
}

/** Choices of parameters, as far as they have few values. */
export function filters(ctx, fields, onchange) {
  const chosen = ctx.all("f.");
  const few = fields.parameters.filter((parameter) => parameter.distinct <= 60 && !isSeed(parameter.name));
  return few.map((parameter) => select(parameter.name, [["", "all"], ...parameter.values.map((value) => [value, told(value)])], chosen[parameter.name] ?? "", (value) => {
    ctx.set({ [`f.${parameter.name}`]: value });
    onchange();
  }, `f.${parameter.name}`));
}

/** A value that the server wrote as text, as people write it. */
export function told(text) {
  return text !== "" && Number.isFinite(Number(text)) ? val(Number(text)) : text;
}

/** The same for what must be told apart: 1.0 is 1. */
export function same(value) {
  return value !== "" && value !== null && typeof value !== "boolean" && Number.isFinite(Number(value)) ? String(Number(value)) : String(value);
}

/** Filters of the address, as the server takes them. */
export function asked(ctx) {
  return Object.fromEntries(Object.entries(ctx.all("f.")).map(([name, value]) => [`f.${name}`, value]));
}

/** The choice of a stage. */
export function stages(ctx, fields, onchange) {
  return select("stage", fields.stages.map((stage) => [stage.name, `${stage.name} (${count(stage.trials)})`]), fields.stage, (value) => {
    // What was chosen of one stage means nothing in another.
    const leave = Object.fromEntries(["f.", "b."].flatMap((prefix) => Object.keys(ctx.all(prefix)).map((name) => [`${prefix}${name}`, ""])));
    const usual = ["metric", "value", "row", "column", "by", "sort", "dir", "offset", "axes", "color", "columns"];
    ctx.set({ ...leave, ...Object.fromEntries(usual.map((name) => [name, ""])), stage: value });
    onchange();
  });
}

/** A table. `columns` have `head`, `cell(row)`, and may have `num`, `sort` (a name), `title`. */
export function table(caption, columns, rows, { sort, dir, onsort, rowProps } = {}) {
  const head = (column) => {
    const sorted = column.sort && column.sort === sort;
    const order = sorted ? (dir === "desc" ? "descending" : "ascending") : null;
    const text = column.sort && onsort
      ? h("button", { type: "button", class: "sort", "data-key": `sort-${column.sort}`, onclick: () => onsort(column.sort, sorted && dir !== "desc" ? "desc" : "asc") }, column.head, h("span", { "aria-hidden": "true" }, sorted ? (dir === "desc" ? " ↓" : " ↑") : ""))
      : column.head;
    return h("th", { scope: "col", class: [column.num ? "num" : "", column.class ?? ""].join(" ").trim() || null, title: column.title, "aria-sort": order }, text);
  };
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map(head))),
      h("tbody", {}, rows.map((row) => h("tr", rowProps?.(row) ?? {}, columns.map((column) => h("td", { class: [column.num ? "num" : "", column.class ?? ""].join(" ").trim() || null }, column.cell(row))))))));
}

/** A parameter's value. Names such as those of encoders stay on one line, long texts do not. */
export function shown(value) {
  const text = val(value);
  return h("span", { class: text.length <= 32 ? "value" : null }, text);
}

/** A moment, with the zone of its clock where one points. */
export function when(ms, whole = false) {
  if (ms === null || ms === undefined) return "–";
  return h("time", { datetime: new Date(ms).toISOString(), title: `${time(ms, true)} ${zone(ms)}` }, time(ms, whole));
}

/** Parameters as `name value` pairs. */
export function parameters(map) {
  return h("span", { class: "pairs" }, Object.entries(map).map(([name, value]) => h("span", { class: "pair" }, h("span", { class: "quiet" }, name), " ", shown(value))));
}

/** A section with a heading. */
export function section(title, ...children) {
  return h("section", {}, h("h2", {}, title), children);
}

/** A bar of shares: `parts` have `name`, `value`. */
export function bar(parts, total, label) {
  return h("div", { class: "bar", role: "img", "aria-label": label },
    parts.filter((part) => part.value > 0).map((part) => h("span", { class: part.name, css: { width: `${(100 * part.value) / Math.max(total, 1e-9)}%` } })));
}

/** Copies as browsers did before there was a permission to ask for: the new way is there over https and on this machine alone. */
function copyOld(text) {
  const area = h("textarea", { class: "hidden", readonly: true, "aria-label": "text to copy", value: text, css: { position: "fixed", top: "0" } });
  document.body.append(area);
  area.focus({ preventScroll: true });
  area.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    area.remove();
  }
}

/** Copies text. */
export function copy(text, what) {
  const button = h("button", { type: "button", class: "plain copy", "aria-label": `Copy ${what}`, title: `Copy ${what}`, onclick: async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = copyOld(text);
      button.focus({ preventScroll: true });
    }
    button.textContent = done ? "copied" : "select and copy by hand";
    setTimeout(() => put(button, "copy"), 1500);
  } }, "copy");
  return button;
}
