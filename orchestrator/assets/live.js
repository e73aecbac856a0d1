// News of the server. A hidden page does not listen: browsers allow few connections to one server.

import { api } from "/assets/api.js";

const PATIENCE_MS = 35_000;
const RETRY_MS = 5_000;

/** Listens; calls `onNews` with what changed, and `onState` with `live`, `waiting`, `stale` or `offline` and words for it. */
export function listen(onNews, onState) {
  let source = null;
  let heard = Date.now();
  let retry = 0;

  function hear() {
    heard = Date.now();
  }

  function open() {
    clearTimeout(retry);
    source?.close();
    if (document.hidden) return;
    hear();
    source = new EventSource("/api/live");
    source.addEventListener("news", (event) => {
      hear();
      const news = JSON.parse(event.data);
      if (news.missing) onState("waiting", "waiting for the first sweep");
      else if (news.database) onState("offline", `no database: ${news.database}`);
      else onState("live", "live");
      onNews(news);
    });
    source.addEventListener("tick", hear);
    source.addEventListener("error", () => {
      onState("offline", "not connected, trying again");
      // A browser does not try again after an answer that is not a stream.
      if (source.readyState === EventSource.CLOSED) {
        clearTimeout(retry);
        retry = setTimeout(open, RETRY_MS);
        // A stream does not say why: where a token is wanted, this leads to the page that asks for it.
        api("site").catch(() => {});
      }
    });
  }

  setInterval(() => {
    const silent = Date.now() - heard;
    if (!document.hidden && source && silent > PATIENCE_MS) {
      onState("stale", `stale: no news for ${Math.round(silent / 1000)} s`);
      open();
    }
  }, 5_000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      open();
    }
  });
  open();
}
