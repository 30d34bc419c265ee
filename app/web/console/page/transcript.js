// What was said, as it was heard: the lines of the transcript, from a call's record and what is
// measured of it. What was not heard is struck through.

import { length } from "./format.js";
import { computed, html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";
import { Time } from "./time.js";
import { gapText, toolText } from "./timeline_texts.js";

const LONGEST = 4000;
const NEAR_END_PX = 80;
const words = texts.transcript;

export function Transcript({ turns, at, onSeek, lives }) {
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
  const playing = useMemo(
    () =>
      computed(() => {
        const ms = at.value;
        return ms === null ? -1 : turns.findLastIndex((turn) => turn.at_ms <= ms);
      }),
    [turns, at],
  ).value;
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
      <h2 id="transcript">${words.title}</h2>
      <div
        class="log"
        role="log"
        aria-label=${words.title}
        tabindex="0"
        ref=${log}
        onScroll=${onScroll}
      >
        ${!turns.length && html`<p class="empty">${words.empty}</p>`}
        ${turns.map(
          (turn, number) =>
            html`<${Turn} key=${turn.item_id || number} turn=${turn} playing=${number === playing} onSeek=${onSeek} />`,
        )}
      </div>
    </section>
  `;
}

function Turn({ turn, playing, onSeek }) {
  return html`
    <div class=${`turn ${turn.role}${playing ? " playing" : ""}`}>
      <${Time} ms=${turn.at_ms} onSeek=${onSeek} />
      <span class="who">${words[turn.role] ?? turn.role}</span>
      <span class="said" dir="auto"><${Said} turn=${turn} /></span>
    </div>
  `;
}

function Said({ turn }) {
  if (turn.role === "line") return `${gapText(turn.gap)}, ${length(turn.gap.to_ms - turn.gap.from_ms)}`;
  const extra = turn.extra ?? {};
  if (turn.role === "tool") {
    const failed = turn.tool?.outcome === "failed";
    return html`<b>${extra.name ?? turn.tool?.name}</b>
      ${turn.tool && html` <${Clipped} text=${toolText(turn.tool)} />`}
      <span class=${failed ? "fault" : ""}> → <${Clipped} text=${turn.tool?.result || turn.heard || ""} /></span>`;
  }
  const cough = extra.interruption === "false";
  return html`
    ${cough && !turn.heard && html`<i>${words.noWords}</i>`}<${Clipped} text=${turn.heard ?? ""} />
    ${turn.unheard && html` <del title=${words.unheard}><${Clipped} text=${turn.unheard} /></del>`}
    ${turn.interrupted && html` <small class="cut">${words.interrupted}</small>`}
    ${extra.by === "keypad" && html` <small>${words.keypad}</small>`}
    ${cough && html` <small class="cough">${words.cough}</small>`}
  `;
}

/** A text; a very long one in full only when it is asked for. */
function Clipped({ text }) {
  const [whole, setWhole] = useState(false);
  if (whole || text.length <= LONGEST) return text;
  const rest = words.more(text.length - LONGEST);
  return html`${text.slice(0, LONGEST)}
    <button type="button" class="quiet" onClick=${() => setWhole(true)}>${rest}</button>`;
}

/** Of a live call: what its record had, and over that what is heard right now. */
export function mergedTurns(record, live) {
  const ids = new Set([...live.values()].map((turn) => turn.item_id));
  const before = (record?.transcript ?? [])
    .filter((turn) => !ids.has(turn.item_id))
    .map((turn) => ({ ...turn, heard: turn.text, unheard: "" }));
  const now = [...live.values()].sort((a, b) => a.position - b.position);
  return [...before, ...now];
}

/** Of a call that ended: its record, and from its report what was not heard, and when it was
 * without the agent. */
export function turnsOf(record, view) {
  const measured = new Map((view?.turns ?? []).map((turn) => [turn.item_id, turn]));
  const tools = new Map((view?.tools ?? []).map((tool) => [tool.call_id, tool]));
  const recorded = (record?.transcript ?? []).map((turn) => {
    const found = measured.get(turn.item_id);
    const tool = turn.role === "tool" ? tools.get(turn.item_id) : undefined;
    return {
      ...turn,
      heard: turn.text,
      unheard: found?.unheard ?? "",
      interrupted: found?.interrupted ?? false,
      at_ms: found?.from_ms ?? tool?.from_ms ?? turn.at_ms,
      tool,
    };
  });
  const ids = new Set(recorded.map((turn) => turn.item_id));
  const unheard = [...measured.values()]
    .filter((turn) => turn.role === "assistant" && !ids.has(turn.item_id) && turn.unheard)
    .map((turn) => ({ ...turn, at_ms: turn.from_ms, extra: {} }));
  const coughs = [...measured.values()]
    .filter((turn) => turn.false_interruption && !ids.has(turn.item_id))
    .map((turn) => ({ ...turn, at_ms: turn.from_ms, extra: { interruption: "false" } }));
  const gaps = (view?.gaps ?? []).map((gap) => ({
    role: "line",
    item_id: `gap ${gap.from_ms}`,
    at_ms: gap.from_ms,
    gap,
  }));
  return [...recorded, ...unheard, ...coughs, ...gaps].sort((a, b) => a.at_ms - b.at_ms);
}
