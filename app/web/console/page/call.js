// One call: its transcript, what can be done with it, its time axis and its waits.

import { Acts } from "./acts.js";
import { callPath, download, get } from "./api.js";
import { clock, money, person, whenFull } from "./format.js";
import { html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { Latency } from "./latency.js";
import { connected, liveCalls, liveTurns } from "./live.js";
import { Player } from "./player.js";
import { outcomeOf, State } from "./start.js";
import { texts } from "./texts.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";

const REFRESH_MS = 2000;
// A long call's report takes the service a while: so much longer is the pause after it.
const PATIENCE = 10;
// The record of a call that ended is complete a little later.
const SETTLED_MS = [800, 2500];
const LIVE = new Set(["queued", "initiated", "ringing", "in-progress"]);

export function CallView({ callSid, agent }) {
  const [record, setRecord] = useState(null);
  const [view, setView] = useState(null);
  const [fault, setFault] = useState("");
  // Of the player: where it is, and where it is asked to go. Ms of the timeline.
  const [atMs, setAtMs] = useState(null);
  const [seek, setSeek] = useState(null);
  const reading = useRef(false);

  const read = async () => {
    if (reading.current) return;
    reading.current = true;
    try {
      const [found, drawn] = await Promise.allSettled([
        get(callPath(callSid, "?events=false")),
        get(callPath(callSid, "/report")),
      ]);
      if (found.reason) throw found.reason;
      setRecord(found.value);
      if (drawn.reason) throw drawn.reason;
      setView(drawn.value);
      setFault("");
    } catch (error) {
      setFault(error.status === 404 ? texts.call.notFound : `${texts.call.failed} ${error.message}`);
    } finally {
      reading.current = false;
    }
  };

  const card = liveCalls.value.get(callSid);
  const lives = Boolean(card);
  useEffect(() => {
    if (!lives) {
      read();
      const timers = SETTLED_MS.map((ms) => setTimeout(read, ms));
      return () => timers.forEach(clearTimeout);
    }
    let timer;
    let over = false;
    const again = async () => {
      const began = performance.now();
      await read();
      const took = performance.now() - began;
      if (!over) timer = setTimeout(again, Math.max(REFRESH_MS, PATIENCE * took));
    };
    again();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [lives, callSid]);

  const known = record ?? card;
  const number = known ? person(known) || texts.call.unknownNumber : "";
  useEffect(() => {
    if (number) document.title = number;
  }, [number]);

  const turns = liveTurns.value;
  const shown = useMemo(
    () => (lives ? mergedTurns(record, turns) : turnsOf(record, view)),
    [record, view, turns, lives],
  );

  if (fault && !known) {
    return html`<h1 tabindex="-1">${fault}</h1>
      <p><a href="#/">${texts.call.back}</a></p>`;
  }
  const canPlay = Boolean(record?.recording) && !lives;
  const play = canPlay ? (ms) => setSeek({ ms }) : null;
  const actable = lives || (record && LIVE.has(record.status) && connected.value);
  return html`
    <p class="back"><a href="#/">← ${texts.call.back}</a></p>
    <div class="title">
      <h1 tabindex="-1"><bdi>${number || "…"}</bdi></h1>
      ${card
        ? html`<${State} call=${card} />`
        : record && html`<span class="outcome">${outcomeOf(record)}</span>`}
    </div>
    ${fault && html`<p class="fault" role="status">${fault}</p>`}
    ${actable && html`<${Acts} callSid=${callSid} agent=${agent} muted=${Boolean(card?.muted)} />`}
    ${canPlay && html`<${Player} callSid=${callSid} seconds=${record.duration_s} seek=${seek} onTime=${setAtMs} />`}
    <${Timeline} view=${view} atMs=${atMs} onSeek=${play} />
    <div class="columns">
      <${Transcript} turns=${shown} atMs=${atMs} onSeek=${play} lives=${lives} />
      <div>
        ${record && html`<${Facts} record=${record} callSid=${callSid} lives=${lives} />`}
      </div>
    </div>
    <${Latency} view=${view} />
  `;
}

/** Of a live call: what its record had, and over that what is heard right now. */
function mergedTurns(record, live) {
  const ids = new Set([...live.values()].map((turn) => turn.item_id));
  const before = (record?.transcript ?? [])
    .filter((turn) => !ids.has(turn.item_id))
    .map((turn) => ({ ...turn, heard: turn.text, unheard: "" }));
  const now = [...live.values()].sort((a, b) => a.position - b.position);
  return [...before, ...now];
}

/** Of a call that ended: its record, and from the report what was not heard. */
function turnsOf(record, view) {
  const measured = new Map((view?.turns ?? []).map((turn) => [turn.item_id, turn]));
  const tools = new Map((view?.tools ?? []).map((tool) => [tool.call_id, tool]));
  const recorded = (record?.transcript ?? []).map((turn) => ({
    ...turn,
    heard: turn.text,
    unheard: measured.get(turn.item_id)?.unheard ?? "",
    at_ms: measured.get(turn.item_id)?.from_ms ?? turn.at_ms,
    to_ms: measured.get(turn.item_id)?.to_ms ?? turn.at_ms,
    tool: tools.get(turn.item_id),
  }));
  const ids = new Set(recorded.map((turn) => turn.item_id));
  const unheard = [...measured.values()]
    .filter((turn) => turn.role === "assistant" && !ids.has(turn.item_id) && turn.unheard)
    .map((turn) => ({ ...turn, at_ms: turn.from_ms, extra: {} }));
  return unheard.length
    ? [...recorded, ...unheard].sort((a, b) => a.at_ms - b.at_ms)
    : recorded;
}

function Facts({ record, callSid, lives }) {
  const tokens = Object.entries(record.usage).filter(([, count]) => count > 0);
  const row = (name, value) => value && html`<dt>${name}</dt><dd><bdi>${value}</bdi></dd>`;
  const words = texts.call;
  const save = (path, end) => (event) => {
    event.preventDefault();
    download(path, `${callSid}${end}`).catch(() => {});
  };
  return html`
    <section class="facts" aria-labelledby="facts">
      <h2 id="facts">${words.facts}</h2>
      <dl>
        ${row(words.from, record.from)} ${row(words.to, record.to)}
        ${row(words.began, `${whenFull(record.created_at)} · ${texts.direction[record.direction] ?? record.direction}`)}
        ${row(words.duration, record.duration_s !== null && clock(record.duration_s * 1000))}
        ${row(words.agent, record.agent)} ${row(words.summary, record.summary)}
        ${row(words.transfers, record.transfers.map((each) => `${each.destination}: ${each.outcome}`).join(", "))}
        ${row(words.cost, costOf(record.cost))}
        ${row(words.tokens, tokens.map(([name, count]) => `${name.replaceAll("_", " ")} ${count}`).join(" · "))}
      </dl>
      <p class="files">
        <button type="button" class="quiet" onClick=${save(callPath(callSid), ".json")}>${words.json}</button>
        <button type="button" class="quiet" onClick=${save(callPath(callSid, "/report"), "-report.json")}>${words.report}</button>
        ${record.recording &&
        !lives &&
        html`<button type="button" class="quiet" onClick=${save(callPath(callSid, "/recording"), ".wav")}>${words.wav}</button>`}
      </p>
    </section>
  `;
}

function costOf(cost) {
  if (!cost.currency) return "";
  const parts = Object.entries(cost).filter(
    ([name, value]) => typeof value === "number" && name !== "total",
  );
  const total = cost.total ?? parts.reduce((sum, [, value]) => sum + value, 0);
  return `${money(total)} (${parts.map(([name, value]) => `${name} ${money(value)}`).join(", ")})`;
}
