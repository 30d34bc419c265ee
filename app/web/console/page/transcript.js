// What was said, as it was heard. What was not heard is struck through.

import { clock } from "./format.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";

const LONGEST = 4000;
const NEAR_END_PX = 80;

export function Transcript({ turns, atMs, onSeek, lives }) {
  const log = useRef(null);
  const following = useRef(true);
  const last = turns[turns.length - 1];
  const onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = log.current;
    following.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  };
  useEffect(() => {
    if (lives && following.current) log.current.scrollTop = log.current.scrollHeight;
  }, [turns.length, last?.heard, lives]);
  const playing = atMs === null ? -1 : turns.findLastIndex((turn) => turn.at_ms <= atMs);
  useEffect(() => {
    const line = log.current.querySelector(".playing");
    if (line) {
      const { offsetTop, offsetHeight } = line;
      const { scrollTop, clientHeight } = log.current;
      if (offsetTop < scrollTop || offsetTop + offsetHeight > scrollTop + clientHeight) {
        log.current.scrollTop = offsetTop - clientHeight / 3;
      }
    }
  }, [playing]);
  return html`
    <section class="transcript" aria-labelledby="transcript">
      <h2 id="transcript">${texts.transcript.title}</h2>
      <div
        class="log"
        role="log"
        aria-label=${texts.transcript.title}
        tabindex="0"
        ref=${log}
        onScroll=${onScroll}
      >
        ${!turns.length && html`<p class="empty">${texts.transcript.empty}</p>`}
        ${turns.map(
          (turn, number) =>
            html`<${Turn} key=${turn.item_id || number} turn=${turn} playing=${number === playing} onSeek=${onSeek} />`,
        )}
      </div>
    </section>
  `;
}

function Turn({ turn, playing, onSeek }) {
  const words = texts.transcript;
  const time = clock(turn.at_ms);
  const extra = turn.extra ?? {};
  const notes = [
    extra.by === "keypad" && words.keypad,
    extra.interruption === "false" && words.cough,
  ].filter(Boolean);
  return html`
    <div class=${`turn ${turn.role}${playing ? " playing" : ""}`}>
      ${onSeek
        ? html`<button
            type="button"
            class="time"
            aria-label=${words.playFrom(time)}
            onClick=${() => onSeek(turn.at_ms)}
          >
            ${time}
          </button>`
        : html`<span class="time">${time}</span>`}
      <span class="who">${words[turn.role] ?? turn.role}</span>
      <span class="said" dir="auto">
        ${turn.role === "tool" && html`<b>${extra.name}</b> `}
        <${Clipped} text=${turn.role === "tool" && turn.tool ? turn.tool.result : turn.heard} />
        ${turn.unheard && html` <del title=${words.unheard}><${Clipped} text=${turn.unheard} /></del>`}
        ${notes.map((note) => html` <small>${note}</small>`)}
      </span>
    </div>
  `;
}

/** A text; a very long one in full only when it is asked for. */
function Clipped({ text }) {
  const [whole, setWhole] = useState(false);
  if (whole || text.length <= LONGEST) return text;
  const rest = texts.transcript.more(text.length - LONGEST);
  return html`${text.slice(0, LONGEST)}
    <button type="button" class="quiet" onClick=${() => setWhole(true)}>${rest}</button>`;
}
