// One call in the console: its data, kept current while it lives, and what can be done with it.

import { Acts } from "./acts.js";
import { callPath, download, get } from "./api.js";
import { person } from "./format.js";
import { html, useEffect, useMemo, useRef, useState } from "./lib.js";
import { connected, liveCalls, liveTurns } from "./live.js";
import { OneCall } from "./one_call.js";
import { outcomeOf, State } from "./outcome.js";
import { Recording } from "./recording.js";
import { saveJson } from "./save.js";
import { texts } from "./texts.js";
import { mergedTurns, turnsOf } from "./transcript.js";

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
  const online = connected.value;
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
  const plays = Boolean(record?.recording) && !lives;
  const actable = lives || (record && LIVE.has(record.status) && online);
  const files = record ? filesOf(callSid, plays) : [];
  return html`
    <p class="back"><a href="#/">← ${texts.call.back}</a></p>
    <${OneCall}
      number=${number}
      state=${card
        ? html`<${State} call=${card} />`
        : record && html`<span class="outcome">${outcomeOf(record)}</span>`}
      fault=${fault}
      acts=${actable && html`<${Acts} callSid=${callSid} agent=${agent} muted=${Boolean(card?.muted)} />`}
      record=${record}
      view=${view}
      turns=${shown}
      lives=${lives}
      files=${files}
      sound=${plays &&
      ((place) => html`<${Recording} callSid=${callSid} seconds=${record.duration_s} ...${place} />`)}
    />
  `;
}

/** The files that can be saved: names, and what saves them. */
function filesOf(callSid, plays) {
  const words = texts.files;
  const loads = (rest, end) => () => download(callPath(callSid, rest), `${callSid}${end}`);
  const timeline = async () => {
    const { events } = await get(callPath(callSid));
    saveJson({ call_sid: callSid, events }, `${callSid}-timeline.json`);
  };
  return [
    ...(plays ? [[words.wav, loads("/recording", ".wav")]] : []),
    [words.json, loads("", ".json")],
    [words.timeline, timeline],
    [words.report, loads("/report", "-report.json")],
    [words.page, loads("/page", ".html")],
  ];
}
