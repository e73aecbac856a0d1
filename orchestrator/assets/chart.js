// Line charts as SVG: axes, a logarithmic scale, smoothing, what lies under the pointer, and the arrow keys.

import { h, put, s, say } from "/assets/dom.js";
import { num } from "/assets/format.js";

const MARGIN = { top: 10, right: 14, bottom: 32, left: 58 };

/** Round numbers between two. */
export function ticks(low, high, about = 5) {
  // Steps that are too small to change a number would never reach the end.
  if (!(high - low > Math.max(Math.abs(low), Math.abs(high)) * 1e-12)) return [low];
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= raw) ?? raw;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}

function logTicks(low, high) {
  const decades = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) decades.push(power);
  const fine = decades.length <= 2 ? [1, 2, 3, 5] : decades.length <= 5 ? [1, 3] : [1];
  const found = decades.flatMap((power) => fine.map((factor) => factor * 10 ** power)).filter((tick) => tick >= low && tick <= high);
  return found.length >= 2 ? found : ticks(low, high).filter((tick) => tick > 0);
}

/** Ticks with as many digits as tell them apart. */
export function labels(values) {
  for (let digits = 0; digits <= 8; digits += 1) {
    const texts = values.map((value) => (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4) ? value.toExponential(Math.min(digits, 3)) : value.toFixed(digits)));
    const exact = texts.every((text, at) => Math.abs(Number(text) - values[at]) <= Math.abs(values[at]) * 1e-6 + 1e-12);
    if (exact && new Set(texts).size === texts.length) return texts;
  }
  return values.map((value) => num(value, 4));
}

/** An exponential moving average that does not lean towards its first value. */
export function smooth(points, weight) {
  if (!weight) return points;
  let mean = 0;
  let sum = 0;
  return points.map(([step, value]) => {
    mean = weight * mean + (1 - weight) * value;
    sum = weight * sum + (1 - weight);
    return [step, mean / sum];
  });
}

/** A small curve beside a number. */
export function spark(points, label) {
  const values = points.map((point) => point[1]);
  if (values.length < 2) return h("span", { class: "quiet" }, values.length ? num(values[0]) : "no values yet");
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const at = ([step, value]) => [((step - first) / Math.max(1, last - first)) * 106 + 2, high === low ? 11 : 20 - ((value - low) / (high - low)) * 18];
  const line = points.map((point, index) => `${index ? "L" : "M"}${at(point).map((number) => number.toFixed(1)).join(" ")}`).join("");
  const [x, y] = at(points[points.length - 1]);
  return s("svg", { class: "spark", viewBox: "0 0 110 22", role: "img", "aria-label": label }, s("path", { d: line }), s("circle", { cx: x, cy: y, r: 2 }));
}

/**
 * A chart of lines. `series` have `key`, `name`, `points`, `color`, `dash`, `about` (nodes for the tip), `href`.
 * Returns an element with `draw(options)`.
 */
export function lineChart(initial) {
  let options = { height: 320, series: [], weight: 0, log: false, xName: "step", yName: "", ...initial };
  const tip = h("div", { class: "tip", hidden: true });
  const svg = s("svg", { tabindex: "0", role: "img" });
  const root = h("div", { class: "chart" }, svg, tip);
  let lines = [];
  let focus = null;
  let geometry = null;

  function draw(next) {
    options = { ...options, ...next };
    const width = Math.max(280, root.clientWidth || 600);
    const { height, log } = options;
    lines = options.series.map((series) => ({ ...series, raw: series.points, points: smooth(series.points, options.weight) }))
      .map((line) => (log ? { ...line, points: line.points.filter((point) => point[1] > 0), raw: line.raw.filter((point) => point[1] > 0) } : line))
      .filter((line) => line.points.length);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", `${options.yName} by ${options.xName}: ${lines.length} curves. Arrow keys go along curves and between them`);
    root.classList.toggle("dense", lines.length > 12);
    root.classList.toggle("crowded", lines.length > 60);
    if (!lines.length) {
      put(svg, s("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, log ? "no values above zero" : "no values yet"));
      geometry = null;
      return;
    }
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const line of lines) {
      for (const [x, y] of line.points) {
        if (x < x0) x0 = x;
        if (x > x1) x1 = x;
        if (y < y0) y0 = y;
        if (y > y1) y1 = y;
      }
    }
    if (x0 === x1) [x0, x1] = [x0 - 1, x1 + 1];
    // What smoothing and rounding leave of a constant curve is no range.
    const flat = !(y1 - y0 > Math.max(Math.abs(y0), Math.abs(y1)) * 1e-9);
    if (log) {
      const room = !flat ? (y1 / y0) ** 0.04 : 1.3;
      [y0, y1] = [y0 / room, y1 * room];
    } else {
      const room = !flat ? (y1 - y0) * 0.05 : Math.abs(y0) * 0.05 || 1;
      [y0, y1] = [y0 - room, y1 + room];
    }
    const inner = { w: width - MARGIN.left - MARGIN.right, h: height - MARGIN.top - MARGIN.bottom };
    const x = (value) => MARGIN.left + ((value - x0) / (x1 - x0)) * inner.w;
    const place = log ? (value) => (Math.log(value) - Math.log(y0)) / (Math.log(y1) - Math.log(y0)) : (value) => (value - y0) / (y1 - y0);
    const y = (value) => MARGIN.top + (1 - place(value)) * inner.h;
    geometry = { x, y, width };
    const path = (points) => points.map((point, index) => `${index ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("");
    const yTicks = log ? logTicks(y0, y1) : ticks(y0, y1, Math.max(3, Math.round(inner.h / 42)));
    const xTicks = ticks(x0, x1, Math.max(3, Math.round(inner.w / 95))).filter((tick) => !options.whole || Number.isInteger(tick));
    const [yTexts, xTexts] = [labels(yTicks), labels(xTicks)];
    put(svg,
      yTicks.map((tick, at) => [s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }), s("text", { x: MARGIN.left - 7, y: y(tick) + 4, "text-anchor": "end" }, yTexts[at])]),
      s("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: height - MARGIN.bottom, y2: height - MARGIN.bottom }),
      xTicks.map((tick, at) => s("text", { x: x(tick), y: height - MARGIN.bottom + 15, "text-anchor": "middle" }, xTexts[at])),
      s("text", { x: width - MARGIN.right, y: height - 3, "text-anchor": "end" }, options.xName),
      options.weight ? lines.map((line) => s("path", { class: "raw", d: path(line.raw), stroke: line.color })) : null,
      lines.map((line) => (line.points.length === 1
        ? s("circle", { class: "curve", "data-line": line.key, cx: x(line.points[0][0]), cy: y(line.points[0][1]), r: 3, fill: line.color, stroke: line.color })
        : s("path", { class: "curve", "data-line": line.key, d: path(line.points), stroke: line.color, "stroke-dasharray": line.dash && line.dash !== "none" ? line.dash : null }))),
      s("circle", { class: "point", r: 4, visibility: "hidden" }));
    if (focus) light(focus.line, focus.at, false);
  }

  function light(key, at, spoken) {
    const line = lines.find((line) => line.key === key);
    root.classList.toggle("hot", Boolean(line));
    for (const curve of svg.querySelectorAll(".curve")) curve.classList.toggle("hot", curve.dataset.line === key);
    const mark = svg.querySelector(".point");
    if (!line || !geometry || !mark) {
      focus = null;
      tip.hidden = true;
      mark?.setAttribute("visibility", "hidden");
      options.onlight?.(null);
      return;
    }
    at = Math.max(0, Math.min(line.points.length - 1, at));
    focus = { line: key, at };
    const [step, value] = line.points[at];
    const [px, py] = [geometry.x(step), geometry.y(value)];
    mark.setAttribute("cx", px);
    mark.setAttribute("cy", py);
    mark.setAttribute("fill", line.color);
    mark.setAttribute("visibility", "visible");
    put(tip, h("div", {}, h("b", {}, line.name), ` ${options.xName} ${num(step, 6)}: `, h("b", {}, num(value, 5))), line.about ?? null);
    tip.hidden = false;
    const scale = root.clientWidth / geometry.width;
    const left = px * scale + 14 + tip.offsetWidth > root.clientWidth ? px * scale - tip.offsetWidth - 14 : px * scale + 14;
    tip.style.transform = `translate(${Math.max(0, left)}px, ${Math.max(0, py * scale - tip.offsetHeight / 2)}px)`;
    options.onlight?.(key);
    if (spoken) say(`${line.name}, ${options.xName} ${step}, ${num(value, 5)}`);
  }

  function nearest(event) {
    const box = svg.getBoundingClientRect();
    const scale = geometry.width / box.width;
    const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = { distance: 60 * 60 };
    for (const line of lines) {
      for (let at = 0; at < line.points.length; at += 1) {
        const distance = (geometry.x(line.points[at][0]) - px) ** 2 + (geometry.y(line.points[at][1]) - py) ** 2;
        if (distance < best.distance) best = { distance, line: line.key, at };
      }
    }
    return best;
  }

  svg.addEventListener("pointermove", (event) => {
    if (!geometry) return;
    const best = nearest(event);
    light(best.line, best.at, false);
  });
  svg.addEventListener("pointerleave", () => light(null));
  svg.addEventListener("blur", () => light(null));
  svg.addEventListener("click", () => {
    const line = focus && lines.find((line) => line.key === focus.line);
    if (line?.onpick) line.onpick();
  });
  svg.addEventListener("keydown", (event) => {
    if (!lines.length) return;
    const index = Math.max(0, lines.findIndex((line) => line.key === focus?.line));
    const line = lines[index];
    const at = focus?.at ?? line.points.length - 1;
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") light(line.key, at + (event.key === "ArrowRight" ? 1 : -1), true);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = lines[(index + (event.key === "ArrowDown" ? 1 : lines.length - 1)) % lines.length];
      light(next.key, at, true);
    } else if (event.key === "Enter" && line.onpick) line.onpick();
    else if (event.key === "Escape") light(null);
    else return;
    event.preventDefault();
  });
  let known = 0;
  const observer = new ResizeObserver(() => {
    if (root.clientWidth !== known) {
      known = root.clientWidth;
      draw({});
    }
  });
  observer.observe(root);
  root.draw = draw;
  root.light = (key) => light(key, lines.find((line) => line.key === key)?.points.length ?? 0, false);
  return root;
}

/** The sign of a line in a legend. */
export function lineSign(color, dash) {
  return s("svg", { viewBox: "0 0 26 8", "aria-hidden": "true" }, s("line", { x1: 1, x2: 25, y1: 4, y2: 4, stroke: color, "stroke-width": 2.4, "stroke-dasharray": dash && dash !== "none" ? dash : null }));
}
