// Shortcuts, in a dialog.

import { h } from "/assets/dom.js";

/** Lists the keys of pages and the rest. */
export function showHelp(pages) {
  const key = (...keys) => keys.map((name) => h("kbd", {}, name));
  const row = (keys, what) => h("tr", {}, h("td", {}, keys), h("td", {}, what));
  const dialog = h("dialog", { "aria-label": "Keyboard shortcuts", onclose: () => dialog.remove() },
    h("h2", {}, "Keyboard"),
    h("table", {}, h("tbody", {},
      pages.map((page) => row(key("g", page.key), page.name)),
      row(key("/"), "search, or the query"),
      row(key("t"), "light, dark, the system's colours"),
      row(key("?"), "this list"),
      row(key("←", "→", "↑", "↓"), "in a chart or heat map that has the focus: points and curves, cells"),
      row(key("+", "−"), "on an axis of Parallel: a longer stretch, a shorter one"),
      row(key("Delete"), "on an axis of Parallel: no stretch"),
      row(key("Ctrl", "Enter"), "run the query"),
      row(key("Esc"), "leave the search, close"))),
    h("form", { method: "dialog" }, h("button", { autofocus: true }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}
