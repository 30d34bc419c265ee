// One call, whole: its player, its time axis, its transcript, its facts and its waits. The console
// and the page that a kept call leaves both show it like this.

import { Facts } from "./facts.js";
import { Latency } from "./latency.js";
import { html, signal, useMemo, useState } from "./lib.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";

/**
 * `sound`: makes the player, given where it is asked to go (`seek`, {ms}) and the signal in which
 * it says where it is (`at`, ms of the timeline; null: nowhere yet). False: there is no sound.
 */
export function OneCall({ number, state, fault, acts, record, view, turns, lives, files, sound }) {
  const [seek, setSeek] = useState(null);
  const at = useMemo(() => signal(null), []);
  const play = sound ? (ms) => setSeek({ ms }) : null;
  return html`
    <div class="title">
      <h1 tabindex="-1"><bdi>${number || "…"}</bdi></h1>
      ${state}
    </div>
    ${fault && html`<p class="fault" role="status">${fault}</p>`} ${acts}
    ${sound && sound({ seek, at })}
    <${Timeline} view=${view} lives=${lives} at=${at} onSeek=${play} />
    <div class="columns">
      <${Transcript} turns=${turns} at=${at} onSeek=${play} lives=${lives} />
      <div>${record && html`<${Facts} record=${record} files=${files} />`}</div>
    </div>
    <${Latency} view=${view} onSeek=${play} />
  `;
}
