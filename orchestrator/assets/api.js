// Questions to the server.

/** What the server says went wrong, with what to do about it. */
export class ApiError extends Error {
  constructor(message, cure, status) {
    super(message);
    this.cure = cure;
    this.status = status;
  }
}

/** Parameters as a query, without empty ones. */
export function query(params) {
  const pairs = Object.entries(params ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

// When the page was loaded anew to ask for the token.
const ASKED = "permafrost asked for the token";
const AGAIN_MS = 30_000;

/** The server wants a token: loaded anew, the page asks for it. Not again at once, should that not help. */
function logIn() {
  try {
    if (Date.now() - Number(sessionStorage.getItem(ASKED)) < AGAIN_MS) return;
    sessionStorage.setItem(ASKED, String(Date.now()));
  } catch {
    // Without storage nothing would end a loop: the error says what to do.
    return;
  }
  location.reload();
}

/** JSON of a path below `/api/`. */
export async function api(path, params, signal) {
  let response;
  try {
    response = await fetch(`/api/${path}${query(params)}`, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the server does not answer", "is `permafrost serve` still running, and the tunnel open? This page tries again by itself", 0);
  }
  if (response.status === 401) logIn();
  let body;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the answer cannot be read", "reload the page", response.status);
  }
  if (!response.ok) throw new ApiError(body.error?.message ?? response.statusText, body.error?.cure, response.status);
  return body;
}

/** Saves what a path answers as a file; what goes wrong is thrown, not saved. */
export async function download(path, name) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new ApiError("the server does not answer", "is `permafrost serve` still running, and the tunnel open?", 0);
  }
  if (response.status === 401) logIn();
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw new ApiError(body?.error?.message ?? response.statusText, body?.error?.cure, response.status);
  }
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
