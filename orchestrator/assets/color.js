// Colours that people with colour blindness can tell apart: viridis for amounts, Okabe and Ito's for kinds, with dashes beside them.

const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"].map((hex) =>
  [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));

function mix(share) {
  const place = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1);
  const at = Math.min(VIRIDIS.length - 2, Math.floor(place));
  return VIRIDIS[at].map((low, channel) => Math.round(low + (VIRIDIS[at + 1][channel] - low) * (place - at)));
}

/** The colour of an amount between 0 and 1. */
export function viridis(share) {
  return `rgb(${mix(share).join(" ")})`;
}

/** The same for lines: neither too dark for a dark page nor too bright for a light one. */
export function lineColor(share) {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  return viridis(dark ? 0.3 + 0.7 * share : 0.9 * share);
}

/** Black or white, whichever reads better on that colour. */
export function ink(share) {
  const [r, g, b] = mix(share).map((channel) => {
    const c = channel / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 ? "#fff" : "#000";
}

const KINDS = 8;
const DASHES = ["none", "7 3", "2 3", "9 3 2 3", "12 4"];

/** Colour and dashes of the `index`-th kind; with the dashes, forty kinds differ. */
export function kind(index) {
  return { color: `var(--c${index % KINDS})`, dash: DASHES[Math.floor(index / KINDS) % DASHES.length] };
}

/** Where a value lies between two others; on a logarithmic scale where that is asked for. */
export function share(value, low, high, log = false) {
  if (high === low) return 0.5;
  if (log) return (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low));
  return (value - low) / (high - low);
}
