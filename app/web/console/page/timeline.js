// A call on one time axis: both sides, tools, waits, marks.

import { clock, length } from "./format.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";
import { hatch, outline, peaksOf } from "./waveform.js";

const words = texts.timeline;

// Tops and heights of the lanes, in px.
const AXIS = { top: 0, height: 22 };
const CALLER = { top: 24, height: 58 };
const AGENT = { top: 84, height: 58 };
const TOOLS = { top: 148, height: 22 };
const WAITS = { top: 174, height: 22 };
const MARKS = { top: 200, height: 14 };
const HEIGHT = 220;
const MOST_PX = 24_000;
const TICKS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 3_600_000];
const LEAST_TICK_PX = 64;
const LABEL_PX = 34;
const SHORTEST_TEXT_PX = 40;
const CHARACTER_PX = 6.4;

export function Timeline({ view, atMs, onSeek }) {
  const [zoom, setZoom] = useState(1);
  const [room, setRoom] = useState(0);
  const scroller = useRef(null);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setRoom(Math.floor(entry.contentRect.width)));
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);
  const endMs = Math.max(1000, view?.ended_ms ?? 0);
  const width = Math.min(Math.max(1, room) * zoom, Math.max(room, MOST_PX));
  const scale = width / endMs; // px for each ms
  const largest = width >= MOST_PX;

  const change = (factor) => {
    const box = scroller.current;
    const middle = (box.scrollLeft + box.clientWidth / 2) / width;
    const next = factor === 0 ? 1 : Math.max(1, zoom * factor);
    setZoom(next);
    requestAnimationFrame(() => {
      box.scrollLeft = middle * box.scrollWidth - box.clientWidth / 2;
    });
  };
  useEffect(() => {
    const box = scroller.current;
    if (atMs === null || zoom === 1) return;
    const x = atMs * scale;
    if (x < box.scrollLeft || x > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = x - box.clientWidth / 4;
    }
  }, [atMs, scale, zoom]);
  const seek = (event) => {
    if (!onSeek) return;
    const { left } = event.currentTarget.getBoundingClientRect();
    onSeek(Math.max(0, (event.clientX - left) / scale));
  };
  return html`
    <section class="timeline" aria-labelledby="timeline">
      <div class="heading">
        <h2 id="timeline">${words.title}</h2>
        <div class="zoom">
          <button type="button" aria-label=${words.zoomOut} disabled=${zoom <= 1} onClick=${() => change(0.5)}>−</button>
          <button type="button" aria-label=${words.zoomIn} disabled=${largest} onClick=${() => change(2)}>+</button>
          <button type="button" disabled=${zoom === 1} onClick=${() => change(0)}>${words.whole}</button>
        </div>
      </div>
      <div class="lanes">
        <div class="names" aria-hidden="true">
          ${[
            [CALLER, words.caller],
            [AGENT, words.agent],
            [TOOLS, words.tools],
            [WAITS, words.waits],
            [MARKS, words.marks],
          ].map(
            ([lane, name]) =>
              html`<span style=${{ top: `${lane.top}px`, height: `${lane.height}px` }}>${name}</span>`,
          )}
        </div>
        <div class="scroller" ref=${scroller} tabindex="0" role="group" aria-label=${words.scroll}>
          ${view &&
          room > 0 &&
          html`<svg
            width=${width}
            height=${HEIGHT}
            class=${onSeek ? "seekable" : ""}
            role="img"
            aria-label=${words.title}
            onClick=${seek}
          >
            <${Drawing} view=${view} scale=${scale} width=${width} endMs=${endMs} />
            ${atMs !== null && html`<line class="head" x1=${atMs * scale} x2=${atMs * scale} y1="0" y2=${HEIGHT} />`}
          </svg>`}
        </div>
      </div>
      ${view && !view.waveform && html`<p class="hint">${view.recording_fault || words.noSound}</p>`}
      ${view ? html`<${List} view=${view} />` : html`<p class="empty">${words.none}</p>`}
    </section>
  `;
}

function Drawing({ view, scale, width, endMs }) {
  return useMemo(() => {
    const x = (ms) => Math.round(ms * scale * 10) / 10;
    const wide = (from, to) => Math.max(1, x(to) - x(from));
    return html`
      <${Axis} scale=${scale} endMs=${endMs} />
      <${Side} lane=${CALLER} name="user" view=${view} peaks=${view.waveform?.caller} scale=${scale} width=${width} />
      <${Side} lane=${AGENT} name="assistant" view=${view} peaks=${view.waveform?.agent} scale=${scale} width=${width} />
      ${view.false_interruptions.map(
        (each) => html`<g class="false">
          <title>${words.falseInterruption(each.reason)}</title>
          <rect x=${x(each.at_ms)} y=${CALLER.top} width=${wide(each.at_ms, each.at_ms + each.paused_ms)} height=${AGENT.top + AGENT.height - CALLER.top} />
        </g>`,
      )}
      ${view.interruptions.map((each) => {
        const lost = Math.max(0, each.generated_ms - each.heard_ms);
        const until = Math.min(endMs, each.at_ms + lost, ...nextSound(view, each.at_ms));
        const w = Math.max(6, wide(each.at_ms, until));
        return html`<g class="unheard">
          <title>${words.interruption(length(each.heard_ms), length(each.generated_ms))}</title>
          <rect x=${x(each.at_ms)} y=${AGENT.top} width=${w} height=${AGENT.height} />
          <path d=${hatch(x(each.at_ms), AGENT.top, w, AGENT.height)} />
          <line x1=${x(each.at_ms)} x2=${x(each.at_ms)} y1=${CALLER.top} y2=${AGENT.top + AGENT.height} />
        </g>`;
      })}
      ${view.tools.map((each) => html`<${Bar} lane=${TOOLS} kind=${`tool ${each.outcome}`} x=${x(each.from_ms)} width=${wide(each.from_ms, each.to_ms)} text=${each.name} title=${words.tool(each.name, each.outcome)} />`)}
      ${view.silences.map((each) => html`<${Bar} lane=${WAITS} kind="silence" x=${x(each.from_ms)} width=${wide(each.from_ms, each.to_ms)} text=${length(each.to_ms - each.from_ms)} title=${silence(each)} />`)}
      ${view.gaps.map((each) => html`<${Bar} lane=${WAITS} kind="gap" x=${x(each.from_ms)} width=${wide(each.from_ms, each.to_ms)} text=${gap(each)} title=${gap(each)} />`)}
      ${view.notes.map((each) => html`<g class=${`note ${each.kind}`}>
        <title>${note(each)}</title>
        <path d=${`M${x(each.at_ms)} ${WAITS.top + 2}v${WAITS.height - 4}`} />
      </g>`)}
      ${view.marks.map(
        (each) => html`<g class=${each.flushed ? "mark flushed" : "mark"}>
          <title>${mark(each)}</title>
          <rect x=${x(each.sent_ms)} y=${MARKS.top + 3} width=${wide(each.sent_ms, each.echoed_ms ?? each.sent_ms)} height=${MARKS.height - 6} />
        </g>`,
      )}
      ${view.hung_up_ms !== null && html`<line class="end" x1=${x(view.hung_up_ms)} x2=${x(view.hung_up_ms)} y1=${CALLER.top} y2=${HEIGHT} />`}
    `;
  }, [view, scale, width, endMs]);
}

/** When the agent is heard next after a moment; empty: it is not. */
function nextSound(view, ms) {
  const spans = view.turns.filter((turn) => turn.role === "assistant").flatMap((turn) => turn.spans);
  return spans.map((span) => span.from_ms).filter((from) => from > ms).slice(0, 1);
}

function Axis({ scale, endMs }) {
  const step = TICKS_MS.find((ms) => ms * scale >= LEAST_TICK_PX) ?? TICKS_MS.at(-1);
  const ticks = [];
  for (let ms = 0; ms <= endMs; ms += step) ticks.push(ms);
  const name = (ms) => (step < 1000 ? `${(ms / 1000).toFixed(1)}` : clock(ms));
  return ticks.map(
    (ms) => html`<g class="tick">
      <line x1=${ms * scale} x2=${ms * scale} y1=${AXIS.height - 4} y2=${HEIGHT} />
      ${(endMs - ms) * scale > LABEL_PX && html`<text x=${ms * scale + 3} y="12">${name(ms)}</text>`}
    </g>`,
  );
}

/** One side: its waveform, or a block for each span of speech. */
function Side({ lane, name, view, peaks, scale, width }) {
  const middle = lane.top + lane.height / 2;
  const cells = useMemo(() => peaksOf(peaks), [peaks]);
  const turns = view.turns.filter((turn) => turn.role === name);
  return html`<g class=${cells ? name : `${name} blocks`}>
    ${turns.flatMap((turn) =>
      turn.spans.map(
        (span) => html`<g class=${turn.false_interruption ? "turn cough" : "turn"}>
          <title>${words.spoke(words[name === "user" ? "caller" : "agent"], turn.heard)}</title>
          <rect
            x=${span.from_ms * scale}
            y=${lane.top}
            width=${Math.max(1, (span.to_ms - span.from_ms) * scale)}
            height=${lane.height}
            rx="2"
          />
        </g>`,
      ),
    )}
    ${cells && html`<path class="wave" d=${outline(cells, view.waveform.cell_ms * scale, width, middle, lane.height / 2)} />`}
    <line class="zero" x1="0" x2=${width} y1=${middle} y2=${middle} />
  </g>`;
}

function Bar({ lane, kind, x, width, text, title }) {
  const room = Math.floor((width - 8) / CHARACTER_PX);
  const shown = text.length <= room ? text : `${text.slice(0, Math.max(0, room - 1))}…`;
  return html`<g class=${`bar ${kind}`}>
    <title>${title}</title>
    <rect x=${x} y=${lane.top} width=${Math.max(2, width)} height=${lane.height} rx="3" />
    ${width >= SHORTEST_TEXT_PX && html`<text x=${x + 5} y=${lane.top + lane.height / 2 + 4}>${shown}</text>`}
  </g>`;
}

const silence = (each) =>
  words.silence(words.causes[each.cause] ?? each.cause, length(each.to_ms - each.from_ms));

const mark = (each) =>
  words.mark(each.name, each.echoed_ms === null ? "" : length(each.echoed_ms - each.sent_ms));

const note = (each) => words.notes[each.kind]?.(each.text) ?? each.text;

function gap(each) {
  const attempts = each.attempts.map((one) => words.attempt(one.destination, one.outcome));
  return attempts.join(", ") || words.gaps[each.reason] || each.reason;
}

/** The same for those who do not see the drawing. */
function List({ view }) {
  const entries = [
    ...view.interruptions.map((each) => [each.at_ms, words.interruption(length(each.heard_ms), length(each.generated_ms))]),
    ...view.false_interruptions.map((each) => [each.at_ms, words.falseInterruption(each.reason)]),
    ...view.tools.map((each) => [each.from_ms, `${words.tool(each.name, each.outcome)}, ${length(each.to_ms - each.from_ms)}`]),
    ...view.silences.map((each) => [each.from_ms, silence(each)]),
    ...view.gaps.map((each) => [each.from_ms, gap(each)]),
    ...view.notes.map((each) => [each.at_ms, note(each)]),
    ...(view.hung_up_ms === null ? [] : [[view.hung_up_ms, words.hungUp]]),
  ].sort(([a], [b]) => a - b);
  if (!entries.length) return null;
  return html`<details>
    <summary>${words.list}</summary>
    <ol class="events">
      ${entries.map(([ms, text]) => html`<li><span class="time">${clock(ms)}</span> <bdi>${text}</bdi></li>`)}
    </ol>
  </details>`;
}
