// The start page: the live calls, and the past ones with their search.

import { get } from "./api.js";
import { clock, length, money, person, when, zone } from "./format.js";
import { html, signal, useEffect, useRef, useState } from "./lib.js";
import { ended, liveCalls } from "./live.js";
import { outcomeOf, State } from "./outcome.js";
import { callAddress } from "./route.js";
import { Softphone } from "./softphone.js";
import { texts } from "./texts.js";

const PAGE = 25;
const TYPING_MS = 250;
// When the record of a call that ended is written, and when its digest is.
const WRITTEN_MS = [700, 2500];
const OVER = new Set(["completed", "busy", "no-answer", "failed", "canceled"]);

const now = signal(Date.now());

export function StartView({ agent }) {
  useEffect(() => {
    document.title = agent?.name || texts.start.live;
  }, [agent]);
  return html`
    <h1 tabindex="-1"><bdi>${agent?.name ?? "…"}</bdi></h1>
    <${Softphone} agent=${agent} shown=${true} />
    <${Live} />
    <${Past} />
  `;
}

function Live() {
  useEffect(() => {
    const timer = setInterval(() => (now.value = Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const calls = [...liveCalls.value.values()].sort((a, b) => b.began_s - a.began_s);
  return html`
    <section aria-labelledby="live">
      <h2 id="live">${texts.start.live} <span class="count">${calls.length || ""}</span></h2>
      ${!calls.length && html`<p class="empty">${texts.start.noLive}</p>`}
      <ul class="calls" role="list" aria-labelledby="live">
        ${calls.map((call) => html`<${LiveItem} key=${call.call_sid} call=${call} />`)}
      </ul>
    </section>
  `;
}

function LiveItem({ call }) {
  const age = now.value - call.began_s * 1000;
  return html`
    <li>
      <a class="call live" href=${callAddress(call.call_sid)}>
        <span class="number"><bdi>${person(call) || texts.call.unknownNumber}</bdi></span>
        <${State} call=${call} />
        <span class="time">${clock(age)}</span>
        ${call.words &&
        html`<span class=${`words ${call.words_by}`}><bdi>${call.words}</bdi></span>`}
      </a>
    </li>
  `;
}

function Past() {
  const [filter, setFilter] = useState({ search: "", day: "", outcome: "" });
  const [pages, setPages] = useState({ calls: [], next: null, state: "busy" });
  const asked = useRef(0);

  const load = async (before, quiet) => {
    const number = ++asked.current;
    const query = new URLSearchParams({ limit: PAGE, zone: zone() });
    for (const [name, value] of Object.entries(filter)) if (value) query.set(name, value);
    if (before) query.set("before", before);
    if (!quiet) setPages((shown) => ({ ...shown, state: "busy" }));
    try {
      const page = await get(`calls?${query}`);
      if (number !== asked.current) return;
      setPages((shown) => ({
        calls: before ? [...shown.calls, ...page.calls] : page.calls,
        next: page.next,
        state: "read",
      }));
    } catch (error) {
      if (number === asked.current) setPages((shown) => ({ ...shown, state: error.message }));
    }
  };

  const { search, day, outcome } = filter;
  useEffect(() => {
    const timer = setTimeout(() => load(null), search ? TYPING_MS : 0);
    return () => clearTimeout(timer);
  }, [search, day, outcome]);

  const over = ended.value;
  useEffect(() => {
    if (!over || pages.calls.length > PAGE) return undefined; // do not take older pages away
    const timers = WRITTEN_MS.map((ms) => setTimeout(() => load(null, true), ms));
    return () => timers.forEach(clearTimeout);
  }, [over]);

  const change = (name) => (event) => setFilter({ ...filter, [name]: event.currentTarget.value });
  const live = liveCalls.value;
  const calls = pages.calls.filter((call) => OVER.has(call.status) || !live.has(call.call_sid));
  const filtered = search || day || outcome;
  const failed = pages.state !== "busy" && pages.state !== "read";
  return html`
    <section aria-labelledby="past">
      <h2 id="past">${texts.start.past}</h2>
      <form class="filter" role="search" onSubmit=${(event) => event.preventDefault()}>
        <input
          type="search"
          aria-label=${texts.start.search}
          placeholder=${texts.start.searchHint}
          maxlength="200"
          value=${search}
          onInput=${change("search")}
        />
        <input type="date" aria-label=${texts.start.day} value=${day} onInput=${change("day")} />
        <select aria-label=${texts.start.outcome} value=${outcome} onChange=${change("outcome")}>
          <option value="">${texts.start.anyOutcome}</option>
          ${texts.outcomes.map(([value, text]) => html`<option value=${value}>${text}</option>`)}
        </select>
      </form>
      <p class=${failed ? "fault" : "empty"} role="status">
        ${pages.state === "read" && !calls.length
          ? filtered
            ? texts.start.noMatch
            : texts.start.noPast
          : failed
            ? `${texts.start.failed} ${pages.state}`
            : ""}
      </p>
      <ul class="calls" role="list" aria-labelledby="past" aria-busy=${pages.state === "busy"}>
        ${calls.map((call) => html`<${PastItem} key=${call.call_sid} call=${call} />`)}
      </ul>
      ${pages.next &&
      html`<button type="button" disabled=${pages.state === "busy"} onClick=${() => load(pages.next)}>
        ${texts.start.older}
      </button>`}
    </section>
  `;
}

function PastItem({ call }) {
  const glance = call.glance;
  return html`
    <li>
      <a class="call" href=${callAddress(call.call_sid)}>
        <span class="number"><bdi>${person(call) || texts.call.unknownNumber}</bdi></span>
        <span class="outcome">${outcomeOf(call)}</span>
        <span class="time">${when(call.created_at)}</span>
        <span class="figures">
          ${call.duration_s !== null &&
          html`<span>${texts.start.duration(clock(call.duration_s * 1000))}</span>`}
          ${glance &&
          html`
            ${glance.response_ms !== null &&
            html`<span>${texts.start.answers(length(glance.response_ms))}</span>`}
            ${glance.interruptions > 0 &&
            html`<span>${texts.start.interruptions(glance.interruptions)}</span>`}
            ${glance.cost_usd > 0 && html`<span>${money(glance.cost_usd)}</span>`}
          `}
        </span>
      </a>
    </li>
  `;
}
