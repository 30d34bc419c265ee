// The page of one call that is opened from a file: its data is in the page, and nothing is fetched.

import { person } from "./format.js";
import { html, render } from "./lib.js";
import { KeptSound, wavOf } from "./kept_sound.js";
import { OneCall } from "./one_call.js";
import { outcomeOf } from "./outcome.js";
import { save, saveJson } from "./save.js";
import { texts } from "./texts.js";
import { turnsOf } from "./transcript.js";
import { unpacked } from "./unpacked.js";

const block = (id) => document.getElementById(id)?.textContent ?? "";

const { record, report, hz } = JSON.parse(block("call-data"));
const number = person(record) || texts.call.unknownNumber;
const sides = [block("caller-sound"), block("agent-sound")];
const wav = sides.every(Boolean)
  ? Promise.all(sides.map(unpacked)).then(([caller, agent]) => wavOf(caller, agent, hz))
  : null;
const events = async () => JSON.parse(new TextDecoder().decode(await unpacked(block("timeline-data"))));

const named = (end) => `${record.call_sid}${end}`;
const files = [
  ...(wav ? [[texts.files.wav, async () => save(await wav, named(".wav"))]] : []),
  [texts.files.json, async () => saveJson({ ...record, events: await events() }, named(".json"))],
  [
    texts.files.timeline,
    async () => saveJson({ call_sid: record.call_sid, events: await events() }, named("-timeline.json")),
  ],
  [texts.files.report, async () => saveJson(report, named("-report.json"))],
];

document.title = number;
render(
  html`<main>
    <${OneCall}
      number=${number}
      state=${html`<span class="outcome">${outcomeOf(record)}</span>`}
      record=${record}
      view=${report}
      turns=${turnsOf(record, report)}
      lives=${false}
      files=${files}
      sound=${wav && ((place) => html`<${KeptSound} wav=${wav} ...${place} />`)}
    />
  </main>`,
  document.getElementById("page"),
);
