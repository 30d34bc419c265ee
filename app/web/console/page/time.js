// A moment of a call: a button that plays from there, if there is sound.

import { clock } from "./format.js";
import { html } from "./lib.js";
import { texts } from "./texts.js";

/** `ms`: of the timeline. `leadMs`: is heard before it. */
export function Time({ ms, onSeek, leadMs = 0 }) {
  const time = clock(ms);
  if (!onSeek) return html`<span class="time">${time}</span>`;
  return html`<button
    type="button"
    class="time"
    aria-label=${texts.transcript.playFrom(time)}
    onClick=${() => onSeek(Math.max(0, ms - leadMs))}
  >
    ${time}
  </button>`;
}
