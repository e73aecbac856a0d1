// Parallel coordinates: each trial a line through its parameters to its result; stretches of axes can be chosen.

import { labels, ticks } from "/assets/chart.js";
import { lineColor, share } from "/assets/color.js";
import { asked, check, empty, select, stages, table, trialLink } from "/assets/controls.js";
import { h, put, putControls, s, say } from "/assets/dom.js";
import { count, counted, score, val } from "/assets/format.js";

const PAD = { top: 46, bottom: 22, left: 60, right: 60 };
const HEIGHT = 440;

export default async function parallel(ctx) {
  const controls = h("div", { class: "fields" });
  const note = h("p", { class: "quiet" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const svg = s("svg", { role: "group", "aria-label": "Axes" });
  const stack = h("div", { class: "stack" }, canvas, svg);
  const body = h("div", {});
  const hint = h("p", { class: "quiet", hidden: true }, "There are more axes to the right: scroll →");
  put(ctx.root, h("h1", {}, "Parallel coordinates"), controls, note, hint, h("div", { class: "parallel", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" }, stack), body);
  let data = null;
  let axes = [];
  let fields = null;

  const choose = (changes) => {
    ctx.set(changes);
    return ctx.refresh();
  };

  async function update(news, ask) {
    [data, fields] = await Promise.all([
      ask("parallel", { stage: ctx.get("stage"), value: ctx.get("value"), axes: ctx.get("axes"), ...asked(ctx) }),
      ask("fields", { stage: ctx.get("stage") }),
    ]);
    const shown = data.axes.map((axis) => axis.name);
    const full = shown.length >= data.most;
    const not = (name) => (full && !shown.includes(name) ? `At most ${data.most} axes are shown: take one away first` : null);
    putControls(controls, news, stages(ctx, fields, () => ctx.refresh()),
      select("result", fields.results.length ? fields.results : [["", "–"]], data.value ?? "", (value) => choose({ value })),
      data.choices.map((name) => check(name, shown.includes(name), (on) => choose({ axes: (on ? [...shown, name] : shown.filter((other) => other !== name)).join(","), [`b.${name}`]: "" }), `axis-${name}`, not(name))),
      full && data.choices.length > shown.length ? h("span", { class: "quiet" }, `at most ${data.most} axes: take one away to see another`) : null,
      h("button", { type: "button", onclick: () => {
        ctx.set(Object.fromEntries(Object.keys(ctx.all("b.")).map((name) => [`b.${name}`, ""])));
        draw();
      } }, "clear choices"));
    const there = data.values.length > 0;
    stack.hidden = !there;
    if (!there) {
      note.textContent = "";
      put(body, empty("No trial of this stage has that result yet.", "Choose another stage or result."));
      return;
    }
    prepare();
    draw();
  }

  function prepare() {
    const [low, high] = [data.values.reduce((a, b) => Math.min(a, b), Infinity), data.values.reduce((a, b) => Math.max(a, b), -Infinity)];
    axes = data.axes.map((axis) => {
      const numbers = axis.numeric && axis.values.length > 1;
      const [first, last] = [axis.values[0], axis.values[axis.values.length - 1]];
      // Learning rates and fractions are spread over orders of magnitude.
      const log = numbers && first > 0 && last / first >= 20;
      const few = axis.values.length <= 12;
      const at = numbers ? axis.values.map((value) => share(value, first, last, log)) : axis.values.map((_, index) => (axis.values.length > 1 ? index / (axis.values.length - 1) : 0.5));
      const spread = numbers && few && at.every((place, index) => index === 0 || place - at[index - 1] > 0.04);
      const marks = !numbers || spread ? axis.values.map((value, index) => [at[index], val(value)]).filter((_, index) => few || index % Math.ceil(axis.values.length / 12) === 0)
        : log ? [0, 0.25, 0.5, 0.75, 1].map((place) => [place, val(Number((first * (last / first) ** place).toPrecision(2)))])
          : labelled(ticks(first, last, 5), (value) => share(value, first, last));
      return { name: axis.name, place: axis.of.map((index) => (index < 0 ? null : at[index])), marks, ...(numbers ? scale(first, last, log) : listed(axis.values)) };
    });
    axes.push({ name: data.value, result: true, place: data.values.map((value) => share(value, low, high)), marks: labelled(ticks(low, high, 6), (value) => share(value, low, high)), low, high, ...scale(low, high, false) });
  }

  // From values to places on an axis and back: an address holds values, which mean the same when other trials have joined.
  function scale(low, high, log) {
    return {
      placeOf: (value) => (high === low ? 0.5 : share(Number(value), low, high, log)),
      valueOf: (place) => Number((log ? low * (high / low) ** place : low + (high - low) * place).toPrecision(5)),
    };
  }

  function listed(values) {
    // A value may hold the sign between two.
    const texts = values.map((value) => String(value).replaceAll("%", "%25").replaceAll("~", "%7E"));
    const step = texts.length > 1 ? 1 / (texts.length - 1) : 1;
    return {
      step,
      // Half a step beyond, so that the value itself is within.
      placeOf: (text, upper) => {
        const at = texts.indexOf(text);
        return at < 0 ? NaN : (texts.length > 1 ? at * step : 0.5) + (upper ? 0.4 : -0.4) * step;
      },
      valueOf: (place, upper) => {
        const at = upper ? Math.floor(place / step + 1e-9) : Math.ceil(place / step - 1e-9);
        return texts[Math.max(0, Math.min(texts.length - 1, at))];
      },
    };
  }

  function labelled(values, at) {
    const texts = labels(values);
    return values.map((value, index) => [at(value), texts[index]]);
  }

  const brush = (axis) => {
    const [from, to] = ctx.get(`b.${axis.name}`).split("~");
    if (from === undefined || to === undefined) return null;
    const [low, high] = [axis.placeOf(from, false), axis.placeOf(to, true)];
    return Number.isFinite(low) && Number.isFinite(high) && high >= low ? [Math.max(-0.02, low), Math.min(1.02, high)] : null;
  };

  function draw() {
    const width = Math.max(640, stack.parentElement.clientWidth, axes.length * 110);
    stack.style.width = `${width}px`;
    hint.hidden = width <= stack.parentElement.clientWidth + 1;
    const inner = HEIGHT - PAD.top - PAD.bottom;
    const x = (index) => PAD.left + (index / Math.max(1, axes.length - 1)) * (width - PAD.left - PAD.right);
    const y = (place) => PAD.top + (1 - place) * inner;
    const chosen = axes.map(brush);
    const inside = (line) => axes.every((axis, index) => !chosen[index] || (axis.place[line] !== null && axis.place[line] >= chosen[index][0] - 1e-4 && axis.place[line] <= chosen[index][1] + 1e-4));
    const lines = data.values.map((_, line) => line);
    const kept = lines.filter(inside);
    paint(canvas, width, lines, new Set(kept), x, y);
    put(svg, axes.map((axis, index) => axisElement(axis, index, x(index), y, inner)));
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const parts = [`${counted(kept.length, "trial")}${kept.length < lines.length ? ` of ${count(lines.length)}` : ""}`];
    if (data.total > lines.length) parts.push(`every ${Math.round(data.total / lines.length)} of ${count(data.total)} is shown`);
    parts.push(`colour: ${data.value} from ${score(axes[axes.length - 1].low)} (dark) to ${score(axes[axes.length - 1].high)} (bright)`, "drag along an axis to choose a stretch; with the keyboard: Tab, then the arrows, + and −, Delete");
    note.textContent = parts.join(" · ");
    list(kept);
  }

  function paint(canvas, width, lines, kept, x, y) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.lineJoin = "round";
    const faint = getComputedStyle(document.documentElement).getPropertyValue("--line");
    const result = axes[axes.length - 1];
    const stroke = (line) => {
      context.beginPath();
      let begun = false;
      axes.forEach((axis, index) => {
        if (axis.place[line] === null) {
          begun = false;
          return;
        }
        // Lines that share a value would lie on each other: they are spread a little.
        const spread = axis.result ? 0 : (((line * 7919) % 101) / 101 - 0.5) * 7;
        const at = Math.max(y(1), Math.min(y(0), y(axis.place[line]) + spread));
        if (begun) context.lineTo(x(index), at);
        else context.moveTo(x(index), at);
        begun = true;
      });
      context.stroke();
    };
    context.lineWidth = 1;
    context.strokeStyle = faint;
    context.globalAlpha = 0.5;
    if (kept.size < lines.length) for (const line of lines) if (!kept.has(line)) stroke(line);
    // The highest results are drawn last, on top.
    context.globalAlpha = Math.max(0.12, Math.min(0.9, 260 / Math.max(1, kept.size)));
    context.lineWidth = kept.size > 400 ? 1 : 1.4;
    const order = lines.filter((line) => kept.has(line)).sort((a, b) => result.place[a] - result.place[b]);
    const colors = Array.from({ length: 101 }, (_, at) => lineColor(at / 100));
    for (const line of order) {
      context.strokeStyle = colors[Math.round(result.place[line] * 100)];
      stroke(line);
    }
  }

  function axisElement(axis, index, x, y, inner) {
    const chosen = brush(axis);
    const set = (low, high, spoken) => {
      const clamp = (place) => Math.max(0, Math.min(1, place));
      ctx.set({ [`b.${axis.name}`]: low === null || high - low < 0.005 ? "" : `${axis.valueOf(clamp(low), false)}~${axis.valueOf(clamp(high), true)}` });
      draw();
      if (spoken) {
        svg.querySelector(`[data-axis="${CSS.escape(axis.name)}"]`)?.focus();
        say(note.textContent.split(" · ")[0]);
      }
    };
    const side = index === axes.length - 1 ? { x: x + 8, "text-anchor": "start" } : { x: x - 7, "text-anchor": "end" };
    const group = s("g", { tabindex: "0", role: "slider", "data-axis": axis.name, "aria-label": `${axis.name}${chosen ? "" : ", all"}`, "aria-valuenow": chosen ? Math.round(50 * (chosen[0] + chosen[1])) : 50, "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "vertical" },
      s("line", { class: "rail", x1: x, x2: x, y1: y(0), y2: y(1) }),
      s("text", { class: "name", x, y: index % 2 && axes.length > 7 ? 15 : 30, "text-anchor": index === 0 ? "start" : index === axes.length - 1 ? "end" : "middle", dx: index === 0 ? -40 : index === axes.length - 1 ? 40 : 0 }, axis.name),
      axis.marks.map(([place, text]) => s("text", { ...side, y: y(place) + 4 }, text)),
      chosen ? s("rect", { class: "brush", x: x - 7, width: 14, y: y(chosen[1]), height: (chosen[1] - chosen[0]) * inner }) : null,
      s("rect", { class: "catch", x: x - 16, width: 32, y: PAD.top - 8, height: inner + 16 }));
    const place = (event) => {
      const box = svg.getBoundingClientRect();
      return 1 - (((event.clientY - box.top) * HEIGHT) / box.height - PAD.top) / inner;
    };
    group.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      const from = place(event);
      const ghost = s("rect", { class: "brush", x: x - 7, width: 14, y: y(from), height: 0 });
      svg.append(ghost);
      const move = (event) => {
        const to = place(event);
        ghost.setAttribute("y", y(Math.max(from, to)));
        ghost.setAttribute("height", Math.abs(to - from) * inner);
      };
      // Once it is done, once the browser takes the finger for something else, and once the page is left.
      const over = new AbortController();
      const { signal } = over;
      const leave = () => {
        over.abort();
        ghost.remove();
      };
      const end = (event) => {
        leave();
        const to = place(event);
        if (Math.abs(to - from) < 0.01) set(null);
        else set(Math.min(from, to), Math.max(from, to));
      };
      window.addEventListener("pointermove", move, { signal });
      window.addEventListener("pointerup", end, { signal });
      window.addEventListener("pointercancel", leave, { signal });
      ctx.signal.addEventListener("abort", leave, { signal });
    });
    group.addEventListener("keydown", (event) => {
      const [low, high] = chosen ?? [0, 1];
      const step = axis.step ?? 0.05;
      if (event.key === "ArrowUp") set(chosen ? low + step : 0.5, chosen ? high + step : 1.02, true);
      else if (event.key === "ArrowDown") set(chosen ? low - step : -0.02, chosen ? high - step : 0.5, true);
      else if (event.key === "+") set(low - step, high + step, true);
      else if (event.key === "-") set(low + step, high - step, true);
      else if (event.key === "Delete" || event.key === "Backspace" || event.key === "Escape") set(null, null, true);
      else return;
      event.preventDefault();
    });
    return group;
  }

  function list(kept) {
    const down = data.maximize !== false;
    const best = [...kept].sort((a, b) => (down ? data.values[b] - data.values[a] : data.values[a] - data.values[b])).slice(0, 15);
    const value = (axis, line) => (axis.of[line] < 0 ? "–" : val(axis.values[axis.of[line]]));
    put(body, best.length ? [table("Best of the chosen trials", [
      { head: "trial", cell: (line) => trialLink(ctx, data.ids[line]) },
      { head: data.value, num: true, cell: (line) => score(data.values[line], data.value) },
      ...data.axes.map((axis) => ({ head: axis.name, num: axis.numeric, cell: (line) => h("span", { class: "value" }, value(axis, line)) })),
    ], best), h("p", { class: "pages" }, h("span", { class: "quiet" }, `the ${best.length} ${down ? "highest" : "lowest"} of ${counted(kept.length, "chosen trial")}`), h("a", { href: ctx.link(`/compare?trials=${best.slice(0, 6).map((line) => data.ids[line]).join(",")}`) }, "compare the first six"))] : empty("No trial is in all of the chosen stretches.", "Choose wider ones, or clear them."));
  }

  let known = 0;
  const observer = new ResizeObserver(() => {
    const width = stack.parentElement.clientWidth;
    if (data && width !== known && data.values.length) {
      known = width;
      draw();
    }
  });
  observer.observe(stack.parentElement);
  const themed = () => data?.values.length && draw();
  window.addEventListener("themechange", themed);
  return {
    update,
    topics: ["trials"],
    destroy() {
      observer.disconnect();
      window.removeEventListener("themechange", themed);
    },
  };
}
