// Figures that the program draws: as pictures, and to take away.

import { empty } from "/assets/controls.js";
import { h, put } from "/assets/dom.js";

export default async function figures(ctx) {
  async function update() {
    const list = await ctx.api("figures");
    const sweep = ctx.get("sweep");
    const address = (name, end) => `/api/figures/${encodeURIComponent(name)}.${end}${sweep ? `?sweep=${encodeURIComponent(sweep)}` : ""}`;
    put(ctx.root, h("h1", {}, "Figures"), list.length ? list.map((figure) => h("figure", {},
      h("h2", {}, figure.title),
      h("img", { src: address(figure.name, "svg"), alt: figure.description }),
      h("figcaption", {}, figure.description, " ", h("a", { href: address(figure.name, "svg"), download: `${figure.name}.svg` }, "SVG"), " ", h("a", { href: address(figure.name, "png"), download: `${figure.name}.png` }, "PNG"))))
      : empty("No figure can be drawn of this sweep yet.", "Figures appear as soon as trials are done."));
  }
  return { update, topics: ["trials"] };
}
