// Requests of the HTTP API. Paths are relative to the page, so that a proxy's prefix is kept.

import { signOut, token } from "./session.js";
import { texts } from "./texts.js";

/** A request that was refused or failed. `status` 0: there was no answer. */
export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** A header holds bytes: a token of other characters is sent in UTF-8. */
function bearer(value) {
  return `Bearer ${String.fromCharCode(...new TextEncoder().encode(value))}`;
}

export async function request(path, options = {}) {
  const { value = token.value, body, ...rest } = options;
  const headers = { Authorization: bearer(value) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      ...rest,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, texts.signIn.failed);
  }
  if (answer.ok) return answer;
  let detail = answer.statusText;
  try {
    detail = (await answer.json()).detail || detail;
  } catch {
    // Not a problem of ours: a proxy's page.
  }
  if (answer.status === 401 && value === token.value && value) signOut(texts.signIn.expired);
  throw new ApiError(answer.status, detail);
}

export const get = async (path, options) => (await request(path, options)).json();

export const post = async (path, body) =>
  (await request(path, { method: "POST", body })).json();

export const callPath = (callSid, rest = "") => `calls/${encodeURIComponent(callSid)}${rest}`;

/** Save the answer of a request as a file. */
export async function download(path, name) {
  const address = URL.createObjectURL(await (await request(path)).blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
