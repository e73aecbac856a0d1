// The frame around pages: addresses, navigation, live news, colours, shortcuts.

import { api } from "/assets/api.js";
import { empty, failure } from "/assets/controls.js";
import { h, put, say } from "/assets/dom.js";
import { time } from "/assets/format.js";
import { showHelp } from "/assets/help.js";
import { listen } from "/assets/live.js";

const PAGES = [
  { path: "/", name: "Overview", key: "o", takes: ["from"], load: () => import("/assets/pages/overview.js") },
  { path: "/trials", name: "Trials", key: "t", takes: ["stage", "state", "q", "sort", "dir", "offset", "pick", "columns"], load: () => import("/assets/pages/trials.js") },
  { path: "/curves", name: "Curves", key: "c", takes: ["stage", "metric", "which", "n", "trials", "color", "smooth", "log"], load: () => import("/assets/pages/curves.js") },
  { path: "/grid", name: "Grid", key: "g", takes: ["stage", "row", "column", "by", "value"], load: () => import("/assets/pages/grid.js") },
  { path: "/parallel", name: "Parallel", key: "p", takes: ["stage", "value", "axes"], load: () => import("/assets/pages/parallel.js") },
  { path: "/compare", name: "Compare", key: "m", takes: ["trials", "all", "metric", "log"], load: () => import("/assets/pages/compare.js") },
  { path: "/devices", name: "Devices", key: "d", takes: ["range"], load: () => import("/assets/pages/devices.js") },
  { path: "/sql", name: "SQL", key: "s", takes: ["q"], load: () => import("/assets/pages/sql.js") },
  { path: "/figures", name: "Figures", key: "f", load: () => import("/assets/pages/figures.js") },
  { path: "/trial/", name: "Trial", hidden: true, takes: ["attempt"], load: () => import("/assets/pages/trial.js") },
];
// A page that follows a busy sweep asks at most so often.
const REFRESH_MS = 1_000;
// What only time changes is asked anew so often.
const TIMED_MS = 10_000;

const main = document.getElementById("main");
let sweeps = [];
let total = null;
// A page's code could not be fetched, while the server was away: browsers keep that, and only loading all anew helps.
let broken = null;
let shown = null;
// What of the address the page was last told.
let routed = "";
let pending = { news: null, timer: 0, last: 0 };

function here() {
  const url = new URL(location.href);
  const page = PAGES.find((page) => (page.path.length > 1 && page.path.endsWith("/") ? url.pathname.startsWith(page.path) : url.pathname === page.path));
  return { url, page };
}

/** What a sweep is called in addresses. */
const labelOf = (row) => `${row.name}@${row.revision}`;

const inAddress = (sweep) => encodeURIComponent(sweep).replaceAll("%40", "@");

/** All that is known of sweeps, to see whether it changed. */
const listed = () => `${total} ${sweeps.map(labelOf).join(" ")}`;

const addressed = () => location.pathname + location.search;

/** An address with that sweep. */
function withSweep(path, sweep = new URL(location.href).searchParams.get("sweep")) {
  return sweep ? `${path}${path.includes("?") ? "&" : "?"}sweep=${inAddress(sweep)}` : path;
}

/** Changes parameters of the address without another entry in the history; `undefined` and empty texts leave it. */
function setAddress(changes) {
  const next = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === "") next.searchParams.delete(name);
    else next.searchParams.set(name, value);
  }
  // Names of sweeps stay readable.
  history.replaceState(history.state, "", next.href.replace(/([?&]sweep=)([^&#]*)/, (_, before, sweep) => before + sweep.replaceAll("%40", "@")));
  routed = addressed();
}

/** The address holds the sweep that is shown: what somebody reads is not replaced when another is launched. */
async function settle(url, page) {
  const sweep = url.searchParams.get("sweep") ?? "";
  if (sweep && sweeps.some((row) => labelOf(row) === sweep)) return;
  const trials = page.path === "/trial/" ? url.pathname.slice(page.path.length) : url.searchParams.get("trials") ?? "";
  const answer = await api("sweeps", { sweep, trials });
  take(answer);
  if (answer.shown && labelOf(answer.shown) !== sweep && location.href === url.href) setAddress({ sweep: labelOf(answer.shown) });
}

function go(path) {
  // The way back leads to where somebody was.
  history.replaceState({ ...history.state, y: window.scrollY }, "");
  history.pushState(null, "", path);
  route(0);
}

/** Asks about the sweep of the address. What was asked for something that has been left is never answered. */
const asker = (signal) => async (path, ask = {}) => {
  const answer = await api(path, { sweep: new URL(location.href).searchParams.get("sweep"), ...ask }, signal);
  signal.throwIfAborted();
  return answer;
};

function context(url, page, mine) {
  const { signal } = mine.controller;
  return {
    root: main,
    signal,
    path: decodeURIComponent(url.pathname.slice(page.path.length)),
    sweepLink: (row) => withSweep("/", labelOf(row)),
    get: (name) => new URL(location.href).searchParams.get(name) ?? "",
    /** Parameters whose names begin so, without that. */
    all: (prefix) => Object.fromEntries([...new URL(location.href).searchParams].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value])),
    set(changes) {
      setAddress(changes);
      drawNav();
    },
    link: (path) => withSweep(path),
    go: (path) => go(withSweep(path)),
    api: asker(signal),
    /** The page asks and draws anew, after somebody chose something. */
    refresh: (news = null) => update(mine, news),
  };
}

/** Shows the page of the address, scrolled to `y` where that is told. */
async function route(y) {
  const { url, page } = here();
  routed = addressed();
  shown?.controller.abort();
  shown?.turn?.abort();
  shown?.page?.destroy?.();
  const controller = new AbortController();
  // `turn` is the update on its way, `later` news that wait for its end, `failed` what went wrong.
  const mine = { controller, page: null, turn: null, later: null, failed: null };
  shown = mine;
  drawNav();
  if (!page) {
    document.title = "Not found · Permafrost";
    put(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "/" }, "Overview")));
    return;
  }
  main.setAttribute("aria-busy", "true");
  try {
    await settle(url, page);
    if (controller.signal.aborted) return;
    drawNav();
    if (total === 0) {
      document.title = "Waiting · Permafrost";
      put(main, h("h1", {}, "Waiting for the first sweep"), empty("Nothing was launched in this home folder yet.", "Launch a sweep, and this page fills by itself: `permafrost launch sweeps/quickstart.yaml`"));
      main.dataset.updated = String(Number(main.dataset.updated ?? 0) + 1);
      return;
    }
    let module;
    try {
      module = await page.load();
    } catch (error) {
      broken = { away: ["offline", "stale"].includes(live.dataset.state) };
      throw Object.assign(new Error("this page's code could not be fetched"), { cure: "is `permafrost serve` still running, and the tunnel open? The page is loaded anew when it is back", cause: error });
    }
    if (controller.signal.aborted) return;
    notice(page);
    document.title = `${page.name} · Permafrost`;
    const ctx = context(here().url, page, mine);
    put(main);
    mine.page = await module.default(ctx);
    if (controller.signal.aborted) return;
    await update(mine, null);
    if (y !== undefined && shown === mine) window.scrollTo(0, y);
  } catch (error) {
    if (error.name !== "AbortError" && shown === mine) fail(mine, error);
  } finally {
    if (shown === mine) main.removeAttribute("aria-busy");
  }
}

/** Shows what went wrong in the page's place. */
function fail(mine, error) {
  mine.page?.destroy?.();
  mine.page = null;
  mine.failed = { error, sweeps: listed() };
  put(main, h("h1", {}, here().page?.name ?? ""), failure(error, () => (broken ? location.reload() : route())));
}

/** Whether the same question may be answered later, although nothing else has changed. */
const passing = ({ status }) => status !== undefined && !(status >= 400 && status < 500);

/** Lets a page ask and draw anew; `news` is why, null after somebody chose something. */
async function update(mine, news) {
  if (!mine.page || mine !== shown) return;
  // News wait for an update that is on its way: where answers take long, each would end the one before, and none would be shown.
  if (news && mine.turn) {
    mine.later = news;
    return;
  }
  // A choice does not: what was asked before it must not overwrite its answer.
  mine.turn?.abort();
  const turn = new AbortController();
  mine.turn = turn;
  mine.later = null;
  try {
    await mine.page.update(news, asker(turn.signal));
    if (!turn.signal.aborted) main.dataset.updated = String(Number(main.dataset.updated ?? 0) + 1);
  } catch (error) {
    if (turn.signal.aborted || error.name === "AbortError") return;
    // The server is away: what was shown may be old, as the header says, and is better than nothing.
    if (error.status === 0 && news) return;
    fail(mine, error);
  } finally {
    if (mine.turn === turn) {
      mine.turn = null;
      if (mine.later) update(mine, mine.later);
    }
  }
}

// What changed, together, not more often than a page can follow.
function onNews(news) {
  if (broken?.away && !news.database) {
    location.reload();
    return;
  }
  if (news.database) return;
  if (news.sweeps || sweeps.length === 0) {
    const waiting = total === 0;
    loadSweeps().then(() => {
      if ((waiting && total > 0) || (shown?.failed && !broken && shown.failed.sweeps !== listed())) route();
    });
  }
  const before = pending.news ?? {};
  pending.news = Object.fromEntries(Object.keys({ ...before, ...news }).map((key) => [key, before[key] || news[key]]));
  if (pending.timer) return;
  const wait = Math.max(0, pending.last + REFRESH_MS - Date.now());
  pending.timer = setTimeout(async () => {
    const { news } = pending;
    pending = { news: null, timer: 0, last: Date.now() };
    const mine = shown;
    if (!mine) return;
    if (!mine.page) {
      // It failed before; there may be a database now. What was asked wrongly stays wrong.
      if (mine.failed && !broken && passing(mine.failed.error)) route();
      return;
    }
    if (mine.page.topics?.some((topic) => news[topic])) await update(mine, news);
  }, wait);
}

// What only time changes: no event says that another second has passed.
setInterval(() => {
  if (!document.hidden && live.dataset.state === "live" && shown?.page?.timed?.()) update(shown, { timed: true });
}, TIMED_MS);

/** Says what of the address means nothing to this page. */
const COMMON = ["sweep", "f.", "b."];
const place = document.getElementById("notice");
function notice(page) {
  const unknown = [...new Set(new URL(location.href).searchParams.keys())].filter((name) => !page.takes?.includes(name) && !COMMON.some((known) => (known.endsWith(".") ? name.startsWith(known) : name === known)));
  place.hidden = !unknown.length;
  place.textContent = unknown.length ? `This page knows nothing called ${unknown.map((name) => `“${name}”`).join(", ")}; that part of the address is passed over.` : "";
}

const live = document.getElementById("live");
function onState(state, words) {
  if (live.dataset.state === state && live.textContent === words) return;
  if (broken && (state === "offline" || state === "stale")) broken.away = true;
  live.dataset.state = state;
  live.textContent = words;
  live.title = { live: "changes appear by themselves", waiting: "the page fills as soon as a sweep is launched" }[state] ?? "what you see may be old";
}

function take(answer) {
  sweeps = answer.sweeps;
  total = answer.total;
  drawSweeps();
}

async function loadSweeps() {
  try {
    take(await api("sweeps"));
  } catch {
    // What is known stays; the header says that the server is away.
  }
}

const choice = document.getElementById("sweep");
const newer = document.getElementById("newer");
function drawSweeps() {
  const wanted = new URL(location.href).searchParams.get("sweep") ?? "";
  const option = (row) => h("option", { value: labelOf(row), title: time(row.submitted, true) }, `${row.name} · rev ${row.revision}`);
  const known = sweeps.some((row) => labelOf(row) === wanted);
  put(choice, sweeps.length ? [sweeps.map(option), known || !wanted ? null : h("option", { value: wanted }, wanted)] : h("option", { value: "" }, "none yet"));
  choice.value = wanted || (sweeps.length ? labelOf(sweeps[0]) : "");
  choice.disabled = sweeps.length < 2;
  const newest = sweeps.length && wanted && labelOf(sweeps[0]) !== wanted ? labelOf(sweeps[0]) : null;
  put(newer, newest ? ["newer: ", h("a", { href: withSweep("/", newest), title: `${newest} was launched later` }, newest)] : null);
}
choice.addEventListener("change", () => {
  // Choices of one sweep mean nothing in another.
  const { page } = here();
  const path = page && !page.hidden ? page.path : "/";
  go(withSweep(path, choice.value));
});

const nav = document.getElementById("nav");
function drawNav() {
  const { page } = here();
  const pages = PAGES.filter((page) => !page.hidden);
  put(nav, pages.map((entry) => h("a", { href: withSweep(entry.path), "aria-current": entry === page ? "page" : null, "data-key": `nav-${entry.path}` }, entry.name)));
  document.querySelector(".brand").href = withSweep("/");
  drawSweeps();
  // On a phone the bar scrolls: the page that is shown must be seen in it.
  const active = nav.querySelector("[aria-current]");
  if (active) nav.scrollLeft = active.offsetLeft - nav.offsetLeft - (nav.clientWidth - active.offsetWidth) / 2;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const address = link.getAttribute("href");
  if (link.hasAttribute("download") || link.getAttribute("target") || !address.startsWith("/") || address.startsWith("/api/")) return;
  event.preventDefault();
  go(address);
  main.focus({ preventScroll: true });
  say(`${here().page?.name ?? ""} page`);
});
window.addEventListener("popstate", () => {
  // A link within the page leads to no other.
  if (addressed() !== routed) route(history.state?.y);
});

const themes = ["system", "light", "dark"];
const button = document.getElementById("theme");
function theme(next) {
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", next);
  } catch {
    // It holds for this page alone.
  }
  button.textContent = { system: "◐", light: "○", dark: "●" }[next];
  button.title = `Colours: ${next}`;
  window.dispatchEvent(new Event("themechange"));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => window.dispatchEvent(new Event("themechange")));
const nextTheme = () => theme(themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length]);
theme(document.documentElement.dataset.theme ?? "system");
button.addEventListener("click", nextTheme);
document.getElementById("help").addEventListener("click", () => showHelp(PAGES.filter((page) => page.key)));

// `g` and a letter lead to a page, as in other tools of this kind.
let led = 0;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && event.target.matches?.("input[type=search]") && !event.defaultPrevented) {
    // A browser empties the field at the first Esc; what was searched for stays, and the focus leaves.
    event.preventDefault();
    event.target.blur();
    return;
  }
  if (typing || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (Date.now() - led < 1_500) {
    led = 0;
    const page = PAGES.find((page) => page.key === event.key);
    if (page) {
      event.preventDefault();
      go(withSweep(page.path));
      return;
    }
  }
  if (event.key === "g") led = Date.now();
  else if (event.key === "?") showHelp(PAGES.filter((page) => page.key));
  else if (event.key === "t") nextTheme();
  else if (event.key === "/") {
    const search = main.querySelector("input[type=search], textarea");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

route();
listen(onNews, onState);
