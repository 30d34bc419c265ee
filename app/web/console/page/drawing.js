// A stretch of a call's time axis, as SVG.

import { clock, length } from "./format.js";
import { html, useMemo } from "./lib.js";
import { texts } from "./texts.js";
import {
  falseInterruptionText,
  gapText,
  interruptionText,
  markText,
  modelGapText,
  noteText,
  silenceText,
  toolText,
} from "./timeline_texts.js";
import { unheardParts } from "./lanes.js";

const words = texts.timeline;
const TICKS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 3_600_000];
const LEAST_TICK_PX = 64;
const LABEL_PX = 34;
const LEAST_TEXT_PX = 18;
const LONGEST_TEXT = 400; // characters: more is never in sight
const BAR_PX = 3; // at least
const FLAG_PX = 12; // beside a flag's name
const CHARACTER_PX = 6.6; // of a bold one, about
const LEAST_LABEL_PX = 70;
const LATE_MS = 100;
const OUTLINE_STEP_PX = 1.5;
const HATCH_PX = 6;

export function Drawing({ view, lives, lanes, height, part, endMs }) {
  return useMemo(() => {
    const bar = (lane, kind, text, title) => (each) => html`<${Bar}
      lane=${lane} kind=${kind(each)} x=${part.x(each.from_ms)}
      width=${part.wide(each.from_ms, Math.min(each.to_ms, endMs), BAR_PX)}
      text=${text(each)} title=${title(each)}
    />`;
    const spans = (all) => part.inSight(all, (each) => each.from_ms, (each) => each.to_ms);
    const moments = (all) => part.inSight(all, (each) => each.at_ms, (each) => each.at_ms);
    const { tools, line, silences, notes, marks } = lanes;
    return html`
      <${Axis} part=${part} lane=${lanes.axis} height=${height} endMs=${endMs} />
      <${Side} lane=${lanes.caller} texts=${lanes.callerWords} name="user" view=${view} lives=${lives} part=${part} endMs=${endMs} />
      <${Side} lane=${lanes.agent} texts=${lanes.agentWords} name="assistant" view=${view} lives=${lives} part=${part} endMs=${endMs} />
      <${Pauses} view=${view} lanes=${lanes} part=${part} />
      <${Unheard} view=${view} lives=${lives} lane=${lanes.agent} part=${part} endMs=${endMs} />
      ${lanes.flags && html`<${Flags} view=${view} lanes=${lanes} part=${part} height=${height} endMs=${endMs} />`}
      ${tools && spans(view.tools).map(bar(tools, (each) => `tool ${each.outcome === "failed" ? "failed" : ""}`, (each) => each.name, (each) => words.tool(each.name, toolText(each), each.outcome, each.result.slice(0, LONGEST_TEXT))))}
      ${line && spans(view.gaps).map(bar(line, (each) => (each.returned ? "gap" : "gap away"), (each) => `${gapText(each)} · ${length(each.to_ms - each.from_ms)}`, gapText))}
      ${line && spans(view.model_gaps).map(bar(line, () => "lost", modelGapText, modelGapText))}
      ${silences && spans(view.silences).map(bar(silences, () => "silence", silenceText, silenceText))}
      ${notes && moments(view.notes).map((each) => html`<${Note} note=${each} lane=${notes} x=${part.x(each.at_ms)} />`)}
      ${marks &&
      part.inSight(view.marks, (each) => each.sent_ms, (each) => each.echoed_ms ?? each.sent_ms).map(
        (each) => html`<g class=${each.flushed ? "mark flushed" : "mark"}>
          <title>${markText(each)}</title>
          <rect x=${part.x(each.sent_ms)} y=${marks.top + 4} width=${part.wide(each.sent_ms, each.echoed_ms ?? each.sent_ms)} height=${marks.height - 8} />
          <path d=${`M${part.x(each.sent_ms)} ${marks.top + 1}v${marks.height - 2}`} />
        </g>`,
      )}
    `;
  }, [view, lives, lanes, height, part, endMs]);
}

function Axis({ part, lane, height, endMs }) {
  const step = TICKS_MS.find((ms) => ms * part.scale >= LEAST_TICK_PX) ?? TICKS_MS.at(-1);
  const first = Math.max(0, Math.floor(part.left / part.scale / step) * step);
  const last = Math.min(endMs, (part.left + part.width) / part.scale);
  const ticks = [];
  for (let ms = first; ms <= last; ms += step) ticks.push(ms);
  const name = (ms) => (step < 1000 ? `${clock(ms)}${(ms / 1000).toFixed(1).slice(-2)}` : clock(ms));
  return ticks.map(
    (ms) => html`<g class="tick">
      <line x1=${part.x(ms)} x2=${part.x(ms)} y1=${lane.height - 4} y2=${height} />
      ${(endMs - ms) * part.scale > LABEL_PX && html`<text x=${part.x(ms) + 3} y="13">${name(ms)}</text>`}
    </g>`,
  );
}

/** One side: its waveform, or a block for each span of speech; and its words. */
function Side({ lane, texts: textLane, name, view, lives, part, endMs }) {
  const middle = lane.top + lane.height / 2;
  const base64 = name === "user" ? view.waveform?.caller : view.waveform?.agent;
  const cells = useMemo(() => peaksOf(base64), [base64]);
  const soundMs = cells ? cells.length * view.waveform.cell_ms : Infinity;
  const turns = view.turns.filter((turn) => turn.role === name && turn.spans.length);
  const who = words[name === "user" ? "caller" : "agent"];
  const shown = turns
    .map((turn, number) => ({ turn, until: turns[number + 1]?.from_ms ?? endMs }))
    .filter(({ turn, until }) => part.x(until) >= 0 && part.x(turn.from_ms) <= part.width);
  return html`<g class=${cells ? name : `${name} blocks`}>
    ${shown.flatMap(({ turn }) =>
      turn.spans.map(
        (span) => html`<g class=${kindOf(turn, span.to_ms > soundMs + LATE_MS)}>
          <title>${words.spoke(who, turn.heard.slice(0, LONGEST_TEXT))}</title>
          <rect
            x=${part.x(span.from_ms)} y=${lane.top} rx="2"
            width=${part.wide(span.from_ms, span.to_ms)} height=${lane.height}
          />
        </g>`,
      ),
    )}
    ${cells && html`<path class="wave" d=${outline(cells, view.waveform.cell_ms * part.scale, part, middle, lane.height / 2)} />`}
    <line class="zero" x1="0" x2=${part.width} y1=${middle} y2=${middle} />
    ${shown.map(({ turn, until }) => html`<${Words} turn=${turn} lives=${lives} lane=${textLane} x=${part.x(turn.from_ms)} width=${part.wide(turn.from_ms, until) - 4} />`)}
  </g>`;
}

/** `ahead`: the recording, which is written a little later, does not reach so far yet. */
function kindOf(turn, ahead) {
  return `turn${turn.false_interruption ? " cough" : ""}${ahead ? " ahead" : ""}`;
}

/** What was said, as far as there is room: what was not heard is struck through. */
function Words({ turn, lives, lane, x, width }) {
  if (width < LEAST_TEXT_PX) return null;
  const heard = turn.heard.slice(0, LONGEST_TEXT);
  const unheard = lives && !turn.interrupted ? "" : turn.unheard.slice(0, LONGEST_TEXT);
  return html`<${Text} x=${x} lane=${lane} width=${width} kind="words">
    <tspan>${heard || (turn.false_interruption && words.noWords)}</tspan>
    ${unheard && html`<tspan class="struck" dx=${heard ? 4 : 0}>${unheard}</tspan>`}
  <//>`;
}

/** Text that is cut off where its room ends. */
function Text({ x, lane, width, kind, children }) {
  return html`<svg class="room" role="none" x=${x} y=${lane.top} width=${Math.max(0, width)} height=${lane.height}>
    <text class=${kind} x="0" y=${lane.height / 2 + 4}>${children}</text>
  </svg>`;
}

/** Where the agent paused for what was no interruption. */
function Pauses({ view, lanes, part }) {
  const { caller, agent } = lanes;
  return part.inSight(view.false_interruptions, (each) => each.at_ms, (each) => each.at_ms + each.paused_ms).map(
    (each) => html`<g class="false">
      <title>${falseInterruptionText(each)}</title>
      <rect
        x=${part.x(each.at_ms)} y=${caller.top} rx="3"
        width=${part.wide(each.at_ms, each.at_ms + each.paused_ms)} height=${agent.top + agent.height - caller.top}
      />
    </g>`,
  );
}

/** What was generated and not heard: hatched, where it would have sounded. */
function Unheard({ view, lives, lane, part, endMs }) {
  return part.inSight(unheardParts(view, endMs, lives), (each) => each.from_ms, (each) => each.to_ms).map((each) => {
    const x = part.x(each.from_ms);
    const width = part.wide(each.from_ms, each.to_ms, 2);
    const label = words.unheard(length(each.lost_ms));
    return html`<g class="unheard">
      <title>${label}</title>
      <rect x=${x} y=${lane.top} width=${width} height=${lane.height} />
      <path d=${hatch(x, lane.top, width, lane.height)} />
      ${width > LEAST_LABEL_PX && html`<${Text} x=${x + 5} lane=${{ top: lane.top + lane.height - 18, height: 16 }} width=${width - 8} kind="label">${label}<//>`}
    </g>`;
  });
}

/** Interruptions, false ones too, and the hang-up: each with a pole at its moment. Names that would
 * touch are in two rows. */
function Flags({ view, lanes, part, height, endMs }) {
  const { flags, agent } = lanes;
  const all = [
    ...view.interruptions.map((each) => ["cut", each.at_ms, words.flags.interruption, interruptionText(each)]),
    ...view.false_interruptions.map((each) => ["cough", each.at_ms, words.flags.falseInterruption, falseInterruptionText(each)]),
    ...(view.hung_up_ms === null ? [] : [["end", view.hung_up_ms, words.flags.hungUp, words.flags.hungUp]]),
  ].sort(([, a], [, b]) => a - b);
  const places = all.map(([, ms, text]) => ({ x: part.x(ms), width: FLAG_PX + text.length * CHARACTER_PX }));
  const free = [-Infinity, -Infinity]; // from where on each row is
  const rows = places.map(({ x, width }) => {
    const row = x < free[0] && x >= free[1] ? 1 : 0;
    free[row] = Math.max(free[row], x + width);
    return row;
  });
  const end = part.x(endMs);
  return all.map(([kind, , text, title], number) => {
    const { x, width } = places[number];
    if (x < -width || x > part.width) return null;
    const behind = places.findIndex((_, other) => other > number && rows[other] === rows[number]);
    const room = Math.min(end, places[behind]?.x ?? end) - x - FLAG_PX;
    const lane = { top: flags.top + (rows[number] * flags.height) / 2, height: flags.height / 2 };
    const bottom = kind === "end" ? height : agent.top + agent.height;
    return html`<g class=${`flag ${kind}`}>
      <title>${title}</title>
      <path d=${`M${x} ${lane.top + 8}V${bottom}`} />
      <circle cx=${x} cy=${lane.top + 8} r="3.5" />
      ${room > LEAST_TEXT_PX && html`<${Text} x=${x + 7} lane=${lane} width=${room} kind="label">${text}<//>`}
    </g>`;
  });
}

function Bar({ lane, kind, x, width, text, title }) {
  return html`<g class=${`bar ${kind}`}>
    <title>${title}</title>
    <rect x=${x} y=${lane.top} width=${width} height=${lane.height} rx="3" />
    ${width > LEAST_TEXT_PX && html`<${Text} x=${Math.max(x, 0) + 5} lane=${lane} width=${x + width - Math.max(x, 0) - 7} kind="label">${text.slice(0, LONGEST_TEXT)}<//>`}
  </g>`;
}

function Note({ note, lane, x }) {
  const middle = lane.top + lane.height / 2;
  return html`<g class=${`note ${note.kind}`}>
    <title>${noteText(note)}</title>
    ${note.kind === "key"
      ? html`<text x=${x} y=${middle + 4} text-anchor="middle">${note.text}</text>`
      : html`<path d=${`M${x} ${middle - 5}l5 5l-5 5l-5 -5Z`} />`}
  </g>`;
}

/** The bytes of one side of a waveform; null: there is none. */
function peaksOf(base64) {
  return base64 ? Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)) : null;
}

/**
 * The outline of a waveform around its middle line.
 * `cellPx`: how wide a peak is drawn. `part`: the stretch of the time axis. `half`: the height of a
 * peak of full scale.
 */
function outline(peaks, cellPx, part, middle, half) {
  const top = [];
  const bottom = [];
  const end = Math.min(part.width, peaks.length * cellPx - part.left);
  for (let x = 0; x < end; x += OUTLINE_STEP_PX) {
    const first = Math.floor((x + part.left) / cellPx);
    const behind = Math.floor((x + part.left + OUTLINE_STEP_PX) / cellPx);
    const last = Math.max(first + 1, Math.min(peaks.length, behind));
    let peak = 0;
    for (let at = first; at < last; at += 1) peak = Math.max(peak, peaks[at]);
    const height = Math.max(0.4, (peak / 255) * half);
    top.push(`${x.toFixed(1)} ${(middle - height).toFixed(1)}`);
    bottom.push(`${x.toFixed(1)} ${(middle + height).toFixed(1)}`);
  }
  return top.length ? `M${top.join("L")}L${bottom.reverse().join("L")}Z` : "";
}

/** Lines from the lower left to the upper right, inside of a rectangle. */
function hatch(x, y, width, height) {
  let path = "";
  for (let at = -height; at < width; at += HATCH_PX) {
    const left = Math.max(0, at);
    const right = Math.min(width, at + height);
    if (right > left) {
      path += `M${(x + left).toFixed(1)} ${(y + height - (left - at)).toFixed(1)}`;
      path += `L${(x + right).toFixed(1)} ${(y + height - (right - at)).toFixed(1)}`;
    }
  }
  return path;
}
