// The console: a query that only reads, its answer, and the schema beside it.

import { query } from "/assets/api.js";
import { cure, failure, saver, section, trialLink } from "/assets/controls.js";
import { h, put, say } from "/assets/dom.js";
import { count, counted, duration } from "/assets/format.js";

const FIRST = "SELECT stage, state, count(*) AS trials\nFROM sweep_trials JOIN trials USING (trial)\nGROUP BY stage, state ORDER BY min(position)";

export default async function sql(ctx) {
  const text = h("textarea", { class: "query", spellcheck: "false", autocapitalize: "off", "aria-label": "Query", "data-key": "query", value: ctx.get("q") || FIRST, onkeydown: (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  } });
  const button = h("button", { type: "button", class: "primary", onclick: () => run() }, "Run");
  const csv = saver("download CSV", () => `/api/sql.csv${query({ q: text.value })}`, "query.csv");
  const answer = h("div", { class: "answer" });
  const schema = h("div", { class: "schema" });
  put(ctx.root, h("h1", {}, "SQL"), h("p", { class: "quiet" }, "Asks the results database. It cannot change it: SQLite refuses whatever would write."),
    h("div", { class: "console" },
      h("div", {}, text, h("div", { class: "fields" }, button, h("span", { class: "quiet" }, h("kbd", {}, "Ctrl"), h("kbd", {}, "Enter")), csv), answer),
      schema));
  let running = null;

  async function run() {
    running?.abort();
    running = new AbortController();
    const mine = running;
    ctx.signal.addEventListener("abort", () => mine.abort());
    ctx.set({ q: text.value });
    button.disabled = true;
    put(answer, h("p", { class: "quiet" }, "running"));
    try {
      const found = await ctx.api("sql", { q: text.value });
      if (mine.signal.aborted) return;
      put(answer, result(found));
      say(counted(found.rows.length, "row"));
    } catch (error) {
      if (error.name !== "AbortError" && !mine.signal.aborted) put(answer, failure(error));
    } finally {
      if (running === mine) button.disabled = false;
    }
  }

  function result(found) {
    const numeric = found.columns.map((_, at) => found.rows.length > 0 && found.rows.every((row) => row[at] === null || typeof row[at] === "number" || row[at].integer !== undefined || row[at].real !== undefined));
    const isId = (value, at) => ["trial", "trial_id", "id", "input"].includes(found.columns[at]) && typeof value === "string" && /^[0-9a-f]{10,64}$/.test(value);
    const cell = (value, at) => {
      if (value === null) return h("span", { class: "quiet" }, "NULL");
      if (value.integer !== undefined || value.real !== undefined) return value.integer ?? value.real;
      return isId(value, at) ? trialLink(ctx, value, value.slice(0, 10)) : String(value);
    };
    // What is cut off unfolds at a click, and when it has the focus of the keyboard.
    const long = (value, at) => typeof value === "string" && value.length > 40 && !isId(value, at);
    const words = [counted(found.rows.length, "row"), duration(found.took_ms)];
    return [
      h("p", { class: "quiet" }, words.join(" · "), found.truncated ? h("strong", {}, ` · cut off: at most ${count(found.most_rows)} rows are shown`) : null),
      found.columns.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Answer" }, h("table", {}, h("caption", { class: "hidden" }, "Answer"),
        h("thead", {}, h("tr", {}, found.columns.map((name, at) => h("th", { scope: "col", class: numeric[at] ? "num" : null }, name)))),
        h("tbody", {}, found.rows.map((row) => h("tr", {}, row.map((value, at) => h("td", { class: numeric[at] ? "num" : null, title: long(value, at) ? "click to see all of it" : null, tabindex: long(value, at) ? "0" : null, onclick: (event) => event.currentTarget.classList.toggle("whole") }, cell(value, at)))))))) : null,
    ];
  }

  function insert(word) {
    text.setRangeText(word, text.selectionStart, text.selectionEnd, "end");
    text.focus();
  }

  async function loadSchema() {
    const data = await ctx.api("schema");
    const columns = (table) => h("dl", {}, table.columns.map((column) => [
      h("dt", {}, h("button", { type: "button", title: `insert ${column.name}`, onclick: () => insert(column.name) }, column.name), " ", h("span", { class: "quiet" }, column.kind.toLowerCase())),
      column.what ? h("dd", {}, column.what) : null,
    ]));
    const entry = (table) => h("details", {}, h("summary", {}, h("code", {}, table.name), " ", h("span", { class: "quiet" }, table.what.split(/[.;:]/)[0])), h("p", { class: "quiet" }, table.what), columns(table));
    put(schema,
      h("h2", {}, "Examples"),
      h("label", { class: "field" }, h("span", {}, "fills the query"), h("select", { "data-key": "examples", onchange: (event) => {
        const example = data.examples[Number(event.target.value)];
        if (!example) return;
        text.value = example.sql;
        run();
      } }, h("option", { value: "" }, "choose one"), data.examples.map((example, at) => h("option", { value: String(at) }, example.title)))),
      section("Views, for people", data.tables.filter((table) => table.kind === "view").map(entry)),
      section("Tables", data.tables.filter((table) => table.kind === "table").map(entry)),
      h("p", { class: "quiet" }, cure("The same in your own programs: `results.sqlite` in the home folder; docs/database.md")));
  }

  await loadSchema();
  if (ctx.get("q")) run();
  return { update: async () => {}, topics: [] };
}
