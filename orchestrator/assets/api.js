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

/** Saves what a path answers as a file; what goes wrong is thrown, not saved. */
export async function download(path, name) {
  let response;
  try {
    response = await fetch(path);
  } catch {
    throw new ApiError("the server does not answer", "is `permafrost serve` still running, and the tunnel open?", 0);
  }
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
