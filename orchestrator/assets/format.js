// Numbers, times and values for people.

/** A number with about so many significant digits, never in a form that hides its size. */
export function num(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(Math.min(digits - 1, 3)).replace(/\.?0+e/, "e").replace("e+", "e");
  if (Number.isInteger(value)) return String(value);
  if (size >= 1000) return value.toFixed(1);
  return value.toFixed(Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(size)))));
}

const SHARE = /^(val_|test_|train_)?(auroc|auprc|accuracy|recall|precision|f1|dice|sensitivity|specificity)/;

/**
 * A score with three decimals where it is a share, else significant digits: numbers of a column align. What is counted, such as
 * `best_epoch`, is a whole number; the name tells it from a share that happens to be 1.
 */
export function score(value, name) {
  if (value === null || value === undefined) return "–";
  if (name !== undefined && Number.isInteger(value) && !SHARE.test(name)) return count(value);
  return Math.abs(value) <= 1.5 && Math.abs(value) >= 0.001 ? value.toFixed(3) : num(value, 4);
}

/** A whole number with thin spaces between thousands. */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/** A parameter's value. */
export function val(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  // Seeds and counts are names, too: whole numbers stay exact.
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  if (typeof value === "number") return num(value, 6).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  return JSON.stringify(value);
}

/** A duration. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

const two = (number) => String(number).padStart(2, "0");

/** The time zone of all times on the page, at that moment: summer and winter differ. */
export function zone(ms) {
  const minutes = -new Date(ms).getTimezoneOffset();
  return `UTC${minutes === 0 ? "" : `${minutes < 0 ? "−" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`}`;
}

/** A parameter that is a seed: trials that differ in seeds alone are repetitions. */
export const isSeed = (name) => name === "seed" || name.endsWith(".seed");

/** A moment: time of day, with the date where that is not today. */
export function time(ms, whole = false) {
  if (ms === null || ms === undefined) return "–";
  const at = new Date(ms);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  if (!whole && at.toDateString() === new Date().toDateString()) return clock;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

/** Bytes. */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 ? value : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[at]}`;
}

/** Joules, or watt hours where there are many. */
export function energy(joules) {
  if (joules === null || joules === undefined) return "–";
  if (joules < 3600) return `${num(joules, 3)} J`;
  const wh = joules / 3600;
  return wh < 1000 ? `${num(wh, 3)} Wh` : `${num(wh / 1000, 3)} kWh`;
}

/** A share in per cent. */
export function percent(share) {
  return share === null || share === undefined ? "–" : `${Math.round(share * 100)}\u00a0%`;
}

/** The first ten digits of an identity, which every command takes. */
export const short = (id) => id.slice(0, 10);

/** A number of things. */
export function counted(number, what) {
  return `${count(number)} ${what}${number === 1 ? "" : "s"}`;
}
