// A call on one time axis, which is enlarged, scrolled, and followed while the recording plays.

import { Drawing } from "./drawing.js";
import { length } from "./format.js";
import { axisEnd, lanesOf, unheardParts, Window } from "./lanes.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";
import { Time } from "./time.js";
import {
  falseInterruptionText,
  gapText,
  interruptionText,
  modelGapText,
  noteText,
  silenceText,
  toolText,
} from "./timeline_texts.js";

const words = texts.timeline;
const MOST_PX_PER_MS = 4;
const MOST_PX = 8_000_000; // browsers draw no element that is much wider
const STEP = 2; // of the zoom
const LONGEST = 400; // characters of a text in the list

export function Timeline({ view, lives, at, onSeek }) {
  return html`
    <section class="timeline" aria-labelledby="timeline">
      ${view
        ? html`<${Lanes} view=${view} lives=${lives} at=${at} onSeek=${onSeek} />
            <${Legend} view=${view} lives=${lives} />
            ${!view.waveform && html`<p class="hint">${view.recording_fault || words.noSound}</p>`}
            <${List} view=${view} onSeek=${onSeek} />`
        : html`<h2 id="timeline">${words.title}</h2>
            <p class="empty">${words.none}</p>`}
    </section>
  `;
}

function Lanes({ view, lives, at, onSeek }) {
  const [zoom, setZoom] = useState(1);
  const [room, setRoom] = useState(0);
  const [page, setPage] = useState(0); // which screenful is in sight
  const scroller = useRef(null);
  const kept = useRef(null); // the moment that stays in its place when the zoom changes

  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setRoom(Math.floor(entry.contentRect.width)));
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);

  const endMs = axisEnd(view);
  const { lanes, height } = useMemo(() => lanesOf(view), [view]);
  const most = Math.max(1, Math.min(MOST_PX, MOST_PX_PER_MS * endMs) / Math.max(1, room));
  const shown = Math.min(zoom, most);
  const width = Math.max(1, room) * shown;
  const scale = width / endMs;
  const part = useMemo(() => {
    const left = Math.max(0, Math.min(page - 1, Math.floor(width / Math.max(1, room)) - 1) * room);
    return new Window(left, Math.min(width, (page + 3) * room) - left, scale);
  }, [page, room, width, scale]);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (kept.current) box.scrollLeft = kept.current.ms * scale - kept.current.x;
    kept.current = null;
    setPage(Math.floor(box.scrollLeft / Math.max(1, room)));
  }, [scale, room]);

  const change = (factor, x = room / 2) => {
    const next = factor === 0 ? 1 : Math.min(most, Math.max(1, shown * factor));
    kept.current = { ms: (scroller.current.scrollLeft + x) / scale, x };
    setZoom(next);
  };
  useEffect(() => {
    const box = scroller.current;
    const wheel = (event) => {
      if (!event.ctrlKey) return; // pinching a touch pad comes as this, too
      event.preventDefault();
      change(event.deltaY < 0 ? STEP : 1 / STEP, event.clientX - box.getBoundingClientRect().left);
    };
    box.addEventListener("wheel", wheel, { passive: false });
    return () => box.removeEventListener("wheel", wheel);
  });
  const onKeyDown = (event) => {
    const factor = { "+": STEP, "=": STEP, "-": 1 / STEP, 0: 0 }[event.key];
    if (factor === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    change(factor);
  };
  const seek = (event) => {
    if (!onSeek) return;
    const { left } = event.currentTarget.getBoundingClientRect();
    onSeek(Math.max(0, (event.clientX - left + part.left) / scale));
  };
  const names = [
    ["caller", words.caller], ["agent", words.agent], ["tools", words.tools], ["line", words.line],
    ["silences", words.silences], ["notes", words.events], ["marks", words.marks],
  ].filter(([lane]) => lanes[lane]);
  return html`
    <div class="heading">
      <h2 id="timeline">${words.title}</h2>
      <div class="zoom">
        <button type="button" aria-label=${words.zoomOut} disabled=${shown <= 1} onClick=${() => change(1 / STEP)}>−</button>
        <button type="button" aria-label=${words.zoomIn} disabled=${shown >= most} onClick=${() => change(STEP)}>+</button>
        <button type="button" disabled=${shown <= 1} onClick=${() => change(0)}>${words.whole}</button>
      </div>
    </div>
    <div class="lanes">
      <div class="names" aria-hidden="true">
        ${names.map(([lane, name]) => html`<span class=${lane} style=${{ top: `${lanes[lane].top}px`, height: `${lanes[lane].height}px` }}>${name}</span>`)}
      </div>
      <div
        class="scroller" ref=${scroller} tabindex="0" role="group" aria-label=${words.scroll}
        onScroll=${() => setPage(Math.floor(scroller.current.scrollLeft / Math.max(1, room)))}
        onKeyDown=${onKeyDown}
      >
        <div class="strip" style=${{ width: `${width}px`, height: `${height}px` }}>
          ${room > 0 &&
          html`<svg
            style=${{ left: `${part.left}px` }} width=${part.width} height=${height}
            class=${onSeek ? "seekable" : ""} role="img" aria-label=${words.drawing} onClick=${seek}
          >
            <${Drawing} view=${view} lives=${lives} lanes=${lanes} height=${height} part=${part} endMs=${endMs} />
          </svg>`}
          <${Head} at=${at} scale=${scale} height=${height} scroller=${scroller} />
        </div>
      </div>
    </div>
  `;
}

/** Where the recording plays. While it does, it is kept in sight. */
function Head({ at, scale, height, scroller }) {
  const ms = at.value;
  useEffect(() => {
    const box = scroller.current;
    if (ms === null || box.scrollWidth <= box.clientWidth) return;
    const x = ms * scale;
    if (x < box.scrollLeft || x > box.scrollLeft + box.clientWidth) {
      box.scrollLeft = x - box.clientWidth / 8;
    }
  }, [ms]);
  if (ms === null) return null;
  return html`<i class="head" style=${{ transform: `translateX(${(ms * scale).toFixed(1)}px)`, height: `${height}px` }}></i>`;
}

function Legend({ view, lives }) {
  const marked = view.marks.length > 0;
  const cut = unheardParts(view, view.ended_ms, lives).length > 0;
  const all = [
    cut && ["unheard", words.legend.unheard],
    view.false_interruptions.length > 0 && ["false", words.legend.falseInterruption],
    marked && ["mark", words.legend.mark],
    view.marks.some((each) => each.flushed) && ["mark flushed", words.legend.flushed],
  ].filter(Boolean);
  if (!all.length) return null;
  return html`<ul class="keys" role="list" aria-label=${words.legend.title}>
    ${all.map(([kind, text]) => html`<li><i class=${kind}></i>${text}</li>`)}
  </ul>`;
}

/** The same for those who do not see the drawing. */
function List({ view, onSeek }) {
  const entries = [
    ...view.interruptions.map((each) => [each.at_ms, interruptionText(each)]),
    ...view.false_interruptions.map((each) => [each.at_ms, falseInterruptionText(each)]),
    ...view.tools.map((each) => [each.from_ms, `${words.tool(each.name, toolText(each), each.outcome, each.result.slice(0, LONGEST))}, ${length(each.to_ms - each.from_ms)}`]),
    ...view.silences.map((each) => [each.from_ms, silenceText(each)]),
    ...view.gaps.map((each) => [each.from_ms, `${gapText(each)}, ${length(each.to_ms - each.from_ms)}`]),
    ...view.model_gaps.map((each) => [each.from_ms, modelGapText(each)]),
    ...view.notes.map((each) => [each.at_ms, noteText(each)]),
    ...(view.hung_up_ms === null ? [] : [[view.hung_up_ms, words.flags.hungUp]]),
  ].sort(([a], [b]) => a - b);
  if (!entries.length) return null;
  return html`<details>
    <summary>${words.list}</summary>
    <ol class="events">
      ${entries.map(([ms, text]) => html`<li><${Time} ms=${ms} onSeek=${onSeek} /> <bdi>${text}</bdi></li>`)}
    </ol>
  </details>`;
}
