// The frame around pages: addresses, navigation, live news, colours, shortcuts.

import { api } from "/assets/api.js";
import { failure } from "/assets/controls.js";
import { h, put, say } from "/assets/dom.js";
import { time } from "/assets/format.js";
import { showHelp } from "/assets/help.js";
import { listen } from "/assets/live.js";

const PAGES = [
  { path: "/", name: "Overview", key: "o", load: () => import("/assets/pages/overview.js") },
  { path: "/trials", name: "Trials", key: "t", load: () => import("/assets/pages/trials.js") },
  { path: "/curves", name: "Curves", key: "c", load: () => import("/assets/pages/curves.js") },
  { path: "/grid", name: "Grid", key: "g", load: () => import("/assets/pages/grid.js") },
  { path: "/parallel", name: "Parallel", key: "p", load: () => import("/assets/pages/parallel.js") },
  { path: "/compare", name: "Compare", key: "m", load: () => import("/assets/pages/compare.js") },
  { path: "/devices", name: "Devices", key: "d", load: () => import("/assets/pages/devices.js") },
  { path: "/sql", name: "SQL", key: "s", load: () => import("/assets/pages/sql.js") },
  { path: "/figures", name: "Figures", key: "f", load: () => import("/assets/pages/figures.js") },
  { path: "/trial/", name: "Trial", hidden: true, load: () => import("/assets/pages/trial.js") },
];
// A page that follows a busy sweep asks at most so often.
const REFRESH_MS = 1_000;

const main = document.getElementById("main");
let sweeps = [];
let shown = null;
let pending = { news: null, timer: 0, last: 0 };

function here() {
  const url = new URL(location.href);
  const page = PAGES.find((page) => (page.path.length > 1 && page.path.endsWith("/") ? url.pathname.startsWith(page.path) : url.pathname === page.path));
  return { url, page };
}

/** An address with the sweep that is shown. */
function withSweep(path) {
  const sweep = new URL(location.href).searchParams.get("sweep");
  return sweep ? `${path}${path.includes("?") ? "&" : "?"}sweep=${encodeURIComponent(sweep)}` : path;
}

export function go(path, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  route();
}

function context(url, page, signal) {
  const params = url.searchParams;
  return {
    root: main,
    signal,
    path: decodeURIComponent(url.pathname.slice(page.path.length)),
    get: (name) => new URL(location.href).searchParams.get(name) ?? "",
    /** Parameters whose names begin so, without that. */
    all: (prefix) => Object.fromEntries([...new URL(location.href).searchParams].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value])),
    /** Changes the address without another entry in the history; `undefined` and empty texts leave it. */
    set(changes) {
      const next = new URL(location.href);
      for (const [name, value] of Object.entries(changes)) {
        if (value === undefined || value === null || value === "") next.searchParams.delete(name);
        else next.searchParams.set(name, value);
      }
      history.replaceState(null, "", next);
      drawNav();
    },
    link: withSweep,
    go: (path) => go(withSweep(path)),
    api: (path, ask = {}) => api(path, { sweep: new URL(location.href).searchParams.get("sweep") ?? params.get("sweep"), ...ask }, signal),
  };
}

async function route() {
  const { url, page } = here();
  shown?.controller.abort();
  shown?.page?.destroy?.();
  const controller = new AbortController();
  const mine = { controller, page: null, path: page?.path };
  shown = mine;
  drawNav();
  if (!page) {
    document.title = "Not found · Permafrost";
    put(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "/" }, "Overview")));
    return;
  }
  main.setAttribute("aria-busy", "true");
  try {
    const module = await page.load();
    if (controller.signal.aborted) return;
    document.title = `${page.name} · Permafrost`;
    const ctx = context(url, page, controller.signal);
    put(main);
    mine.page = await module.default(ctx);
    if (controller.signal.aborted) return;
    await update(mine, null);
    window.scrollTo(0, 0);
  } catch (error) {
    if (error.name !== "AbortError") put(main, h("h1", {}, page.name), failure(error, route));
  } finally {
    if (shown === mine) main.removeAttribute("aria-busy");
  }
}

async function update(mine, news) {
  if (!mine?.page) return;
  try {
    await mine.page.update(news);
    mine.failed = false;
    main.dataset.updated = String(Number(main.dataset.updated ?? 0) + 1);
  } catch (error) {
    if (error.name === "AbortError" || mine.controller.signal.aborted) return;
    mine.failed = true;
    put(main, h("h1", {}, here().page?.name ?? ""), failure(error, route));
    mine.page = null;
  }
}

// What changed, together, not more often than a page can follow.
function onNews(news) {
  if (news.sweeps || sweeps.length === 0) loadSweeps();
  if (news.database) return;
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
      // It failed before; there may be a database now.
      if (mine.failed !== undefined || main.querySelector(".failure")) route();
      return;
    }
    if (mine.page.topics?.some((topic) => news[topic])) await update(mine, news);
  }, wait);
}

const live = document.getElementById("live");
function onState(state, words) {
  if (live.dataset.state === state && live.textContent === words) return;
  live.dataset.state = state;
  live.textContent = words;
  live.title = state === "live" ? "changes appear by themselves" : "what you see may be old";
}

async function loadSweeps() {
  try {
    const answer = await api("sweeps");
    sweeps = answer.sweeps;
  } catch {
    sweeps = [];
  }
  drawSweeps();
}

const choice = document.getElementById("sweep");
function drawSweeps() {
  const wanted = new URL(location.href).searchParams.get("sweep") ?? "";
  const option = (row, index) => h("option", { value: index === 0 ? "" : row.sweep, title: time(row.submitted, true) }, `${row.name} · rev ${row.revision}`);
  put(choice, sweeps.length ? sweeps.map(option) : h("option", { value: "" }, "none yet"));
  const newest = sweeps.length && String(sweeps[0].sweep) === wanted;
  choice.value = newest ? "" : wanted;
  choice.disabled = sweeps.length < 2;
}
choice.addEventListener("change", () => {
  // Choices of one sweep mean nothing in another.
  const { page } = here();
  const path = page && !page.hidden ? page.path : "/";
  go(choice.value ? `${path}?sweep=${choice.value}` : path);
});

const nav = document.getElementById("nav");
function drawNav() {
  const { page } = here();
  const pages = PAGES.filter((page) => !page.hidden);
  put(nav, pages.map((entry) => h("a", { href: withSweep(entry.path), "aria-current": entry === page ? "page" : null, "data-key": `nav-${entry.path}` }, entry.name)));
  document.querySelector(".brand").href = withSweep("/");
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const address = link.getAttribute("href");
  if (link.hasAttribute("download") || link.target || !address.startsWith("/") || address.startsWith("/api/")) return;
  event.preventDefault();
  go(address);
  main.focus({ preventScroll: true });
  say(`${here().page?.name ?? ""} page`);
});
window.addEventListener("popstate", () => {
  drawSweeps();
  route();
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
const nextTheme = () => theme(themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length]);
theme(document.documentElement.dataset.theme ?? "system");
button.addEventListener("click", nextTheme);
document.getElementById("help").addEventListener("click", () => showHelp(PAGES.filter((page) => page.key)));

// `g` and a letter lead to a page, as in other tools of this kind.
let led = 0;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
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

api("site").then((answer) => {
  live.dataset.program = answer.program;
}, () => {});
await loadSweeps();
route();
listen(onNews, onState);
