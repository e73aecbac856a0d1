// Figures that the program draws: as pictures, and to take away.

import { api, query } from "/assets/api.js";
import { cure, empty } from "/assets/controls.js";
import { h, put } from "/assets/dom.js";

export default async function figures(ctx) {
  const address = (name, end, more) => `/api/figures/${encodeURIComponent(name)}.${end}${query({ sweep: ctx.get("sweep"), ...more })}`;
  const theme = () => document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  /** A picture, or the reason why there is none. */
  function picture(figure) {
    const place = h("div", {});
    const image = h("img", { src: address(figure.name, "svg", { theme: theme() }), alt: figure.description });
    image.addEventListener("error", async () => {
      try {
        await api(`figures/${encodeURIComponent(figure.name)}.svg`, { sweep: ctx.get("sweep") });
      } catch (error) {
        if (error.status === 404) put(place, h("p", { class: "quiet" }, error.message, error.cure ? [": ", cure(error.cure)] : null));
        else put(place, h("p", { class: "quiet" }, "The drawing cannot be shown."));
      }
    });
    put(place, image);
    return place;
  }

  function one(figure) {
    const take = (end, what) => h("a", { href: address(figure.name, end), download: `${figure.name}.${end}` }, what);
    return h("figure", {}, h("h2", {}, figure.title), picture(figure),
      h("figcaption", {}, figure.description, " ", take("svg", "SVG"), " · ", take("png", "PNG"), " · ", take("csv", "data as CSV")));
  }

  async function update() {
    const list = await ctx.api("figures");
    put(ctx.root, h("h1", {}, "Figures"), list.length ? list.map(one)
      : empty("No figure can be drawn of this sweep.", "A sweep with a stage that trains has some: `permafrost figure --help`"));
  }
  window.addEventListener("themechange", update);
  return { update, destroy: () => window.removeEventListener("themechange", update), topics: ["trials"] };
}
