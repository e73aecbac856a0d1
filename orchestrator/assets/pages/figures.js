// Figures that the program draws: as pictures, and to take away.

import { query } from "/assets/api.js";
import { cure, empty, saver } from "/assets/controls.js";
import { h, put } from "/assets/dom.js";

// Drawing takes the server some tenths of a second: not at every trial that is done.
const EVERY_MS = 10_000;

export default async function figures(ctx) {
  const address = (name, end, more) => `/api/figures/${encodeURIComponent(name)}.${end}${query({ sweep: ctx.get("sweep"), ...more })}`;
  const theme = () => document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  let timer = 0;
  let last = 0;

  async function one(figure, ask) {
    const heading = h("h2", {}, figure.title);
    const { svg, reason, cure: advice } = await ask(`figures/${encodeURIComponent(figure.name)}.json`, { theme: theme() });
    if (reason) return h("figure", {}, heading, h("p", {}, `It cannot be drawn: ${reason}.`), advice ? h("p", { class: "quiet" }, cure(advice)) : null, h("figcaption", {}, figure.description));
    const image = h("img", { src: `data:image/svg+xml,${encodeURIComponent(svg)}`, alt: figure.description });
    const take = (end, what) => saver(what, () => address(figure.name, end), `${figure.name}.${end}`);
    return h("figure", {}, heading, image, h("figcaption", {}, figure.description, " ", take("svg", "SVG"), " · ", take("png", "PNG"), " · ", take("csv", "data as CSV")));
  }

  async function draw(ask) {
    last = Date.now();
    const list = await ask("figures");
    const figures = await Promise.all(list.map((figure) => one(figure, ask)));
    put(ctx.root, h("h1", {}, "Figures"), list.length ? figures
      : empty("No figure can be drawn of this sweep.", "A sweep with a stage that trains has some: `permafrost figure --help`"));
  }

  async function update(news, ask) {
    clearTimeout(timer);
    const wait = last + EVERY_MS - Date.now();
    if (!news || wait <= 0) return draw(ask);
    timer = setTimeout(() => ctx.refresh(news), wait);
    return undefined;
  }

  const themed = () => ctx.refresh();
  window.addEventListener("themechange", themed);
  return {
    update,
    destroy() {
      clearTimeout(timer);
      window.removeEventListener("themechange", themed);
    },
    topics: ["trials"],
  };
}
