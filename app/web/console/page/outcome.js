// What happens on a call, and how it ended, in a few words.

import { html } from "./lib.js";
import { texts } from "./texts.js";

/** How a call ended. */
export function outcomeOf(call) {
  const ending = texts.endedBy[call.ended_by];
  if (call.status === "completed" && ending) return ending;
  return texts.statuses[call.status] ?? call.status;
}

/** What happens on a live call right now. */
export function State({ call }) {
  const say = texts.states[call.state];
  return html`<span class=${`state ${call.state}`}><bdi>${say ? say(call.detail) : call.state}</bdi></span>`;
}
