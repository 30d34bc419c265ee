// Times, lengths and money as people read them.

import { texts } from "./texts.js";

const two = (number) => String(number).padStart(2, "0");

/** Milliseconds as 1:05, or 1:02:03. */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = two(seconds % 60);
  return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}

/** Milliseconds as 640 ms, or 1.2 s. */
export function length(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function money(value, currency = "USD") {
  if (value === null || value === undefined) return "–";
  const amount = value.toFixed(value < 1 ? 4 : 2);
  return currency === "USD" ? `$${amount}` : `${amount} ${currency}`;
}

export function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayName = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

export const whenFull = (iso) => (iso ? dateTime.format(new Date(iso)) : "–");

/** The time of day, with the day unless it is today. */
export function when(iso) {
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  return today ? time.format(at) : `${dayName.format(at)}, ${time.format(at)}`;
}

/** A day such as 2026-11-30 in a few letters. */
export const shortDay = (day) => dayName.format(new Date(`${day}T12:00:00`));

export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The number of the person on the phone: the caller's, or that which was called. */
export function person(call) {
  if (call.direction === "softphone") return texts.phone.title;
  return (call.direction.startsWith("outbound") ? call.to : call.from) || "";
}

export function median(values) {
  if (!values.length) return null;
  const ordered = [...values].sort((a, b) => a - b);
  const middle = ordered.length >> 1;
  return ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2;
}
