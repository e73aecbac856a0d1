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

/** JSON of a path below `/api/`. */
export async function api(path, params, signal) {
  let response;
  try {
    response = await fetch(`/api/${path}${query(params)}`, { signal, headers: { accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("the server does not answer", "is `permafrost serve` still running, and the tunnel open? This page tries again by itself", 0);
  }
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
