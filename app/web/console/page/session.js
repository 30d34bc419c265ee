// The API token: kept in sessionStorage, and sent in the Authorization header alone.

import { signal } from "./lib.js";

const KEY = "phone-agent-token";

export const token = signal("");
/** Why the user has to sign in again; empty: no reason. */
export const signOutReason = signal("");

export function signIn(value) {
  signOutReason.value = "";
  token.value = value;
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // Storage is turned off: the token lasts as long as the page.
  }
}

export function signOut(reason = "") {
  signOutReason.value = reason;
  token.value = "";
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

/** Take the token of `#token=…`, and remove it from the address bar and the history. */
function takeFromAddress() {
  const found = /^#token=([^&]*)/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", `${location.pathname}${location.search}`);
  let value = found[1];
  try {
    value = decodeURIComponent(value);
  } catch {
    // Not encoded: it is taken as it is.
  }
  signIn(value);
}

export function restore() {
  takeFromAddress();
  addEventListener("hashchange", takeFromAddress);
  if (token.value) return;
  try {
    token.value = sessionStorage.getItem(KEY) || "";
  } catch {
    // As above.
  }
}
