// The softphone: talk with the agent from the page. A call goes on while other views are open.

import { html, signal, useEffect, useState } from "./lib.js";
import { Line } from "./phone_line.js";
import { devices, noMicrophone, reasonOf, Sound } from "./phone_sound.js";
import { callAddress } from "./route.js";
import { texts } from "./texts.js";

const KEYS = "123456789*0#";

/** off, calling, connected, waiting, ringing, talking, over. */
const state = signal("off");
/** What follows, while a transfer rings or the human talks. */
const step = signal(null);
const callSid = signal("");
const fault = signal("");
/** Why there is no microphone, or the file. */
const notice = signal("");
const levels = { microphone: signal(0), agent: signal(0) };
const chosen = { microphone: signal(""), speaker: signal("") };
const known = signal({ microphones: [], speakers: [] });
const file = signal(null);

let sound = null;
let line = null;

const busy = () => line !== null;

async function hear() {
  const own = sound;
  try {
    if (file.value) {
      await own.hearFile(file.value);
      notice.value = "";
      return;
    }
  } catch {
    notice.value = texts.phone.noFile;
    return;
  }
  const reason = noMicrophone();
  if (reason) {
    notice.value = texts.phone.reasons[reason];
    return;
  }
  try {
    await own.hear(chosen.microphone.value);
    notice.value = "";
    known.value = await devices();
  } catch (error) {
    notice.value = texts.phone.reasons[reasonOf(error)];
  }
}

async function speak() {
  try {
    if (chosen.speaker.value) await sound.speakAt(chosen.speaker.value);
  } catch {
    notice.value = texts.phone.noSpeaker;
  }
}

async function call() {
  if (busy()) return;
  state.value = "calling";
  fault.value = "";
  callSid.value = "";
  const own = new Sound({
    frame: (bytes) => line?.frame?.(bytes),
    mark: (name) => line?.echo(name),
    level: (side, peak) => (levels[side].value = peak),
  });
  sound = own;
  const ownLine = new Line(own, show);
  line = ownLine;
  try {
    try {
      await own.open();
    } catch (error) {
      throw new Error(`${texts.phone.noAudio} ${error.message}`);
    }
    await speak();
    // The agent answers at once; the browser may ask for the microphone meanwhile.
    const hearing = file.value ? null : hear();
    const running = ownLine.run();
    await running;
    await hearing;
  } catch (error) {
    fault.value = `${texts.phone.failed} ${error.message}`;
  } finally {
    ownLine.over = true;
    own.close();
    line = sound = null;
    state.value = "over";
    step.value = null;
    levels.microphone.value = levels.agent.value = 0;
  }
}

function show(now, following) {
  if (line === null) return;
  callSid.value = line.callSid;
  const first = state.value === "calling";
  state.value = now;
  step.value = now === "ringing" || now === "talking" ? following : null;
  if (now === "ringing") sound.ring();
  else sound.quiet();
  if (now === "connected" && first && file.value) hear();
}

function hangUp() {
  line?.hangUp();
}

function press(key) {
  if (state.value !== "connected") return;
  sound.key(key);
  line.press(key);
}

const attempt = (what) => () =>
  line?.[what]().catch((error) => (fault.value = `${texts.phone.failed} ${error.message}`));

addEventListener("pagehide", hangUp);

function choose(name, then) {
  return (event) => {
    chosen[name].value = event.currentTarget.value;
    if (name === "microphone") file.value = null;
    if (busy()) then();
  };
}

function chooseFile(event) {
  const field = event.currentTarget;
  file.value = field.files[0] ?? null;
  field.value = ""; // a browser does not report the choice of the same file again
  notice.value = "";
  if (state.value === "connected") hear();
}

function leaveFile() {
  file.value = null;
  notice.value = "";
  if (busy()) hear();
}

function Meter({ side, label }) {
  const peak = levels[side].value;
  const share = peak > 0 ? Math.max(0, 1 + (20 * Math.log10(peak)) / 50) : 0;
  return html`
    <label class="meter"><span>${label}</span><meter min="0" max="1" value=${share}></meter></label>
  `;
}

function Choice({ name, label, found, then }) {
  const device = chosen[name].value;
  return html`
    <label>
      <span>${label}</span>
      <select onChange=${choose(name, then)} value=${device}>
        <option value="">${texts.phone.defaultDevice}</option>
        ${found.map((each) => html`<option value=${each.deviceId}>${each.label || each.deviceId}</option>`)}
      </select>
    </label>
  `;
}

function Transfer({ ringing, destination, reason, summary, said }) {
  const title = ringing ? texts.phone.rings(destination) : texts.phone.talks(destination);
  return html`
    <div class="rings" role="alert">
      <h3><bdi>${title}</bdi></h3>
      ${said && html`<p><bdi>${said}</bdi></p>`}
      ${(summary || reason) && html`<p class="hint"><bdi>${summary || reason}</bdi></p>`}
      ${ringing &&
      html`
        <button type="button" class="strong" onClick=${attempt("answer")}>${texts.phone.answer}</button>
        <button type="button" onClick=${attempt("decline")}>${texts.phone.decline}</button>
      `}
    </div>
  `;
}

export function Softphone({ agent, shown, callSid: viewed }) {
  const now = state.value;
  const following = step.value;
  const sid = callSid.value;
  const failure = fault.value;
  const remark = notice.value;
  const { microphones, speakers } = known.value;
  const recorded = file.value;
  const live = now !== "off" && now !== "over";
  const [listed, setListed] = useState(false);
  useEffect(() => {
    if (!shown || listed) return;
    setListed(true);
    const list = () => devices().then((found) => (known.value = found), () => {});
    list();
    navigator.mediaDevices?.addEventListener?.("devicechange", list);
    const reason = noMicrophone();
    if (reason) notice.value = texts.phone.reasons[reason];
  }, [shown]);
  if (!shown && !live) return null;
  const words = texts.phone;
  return html`
    <section class="phone" aria-labelledby="phone">
      <h2 id="phone">${words.title}</h2>
      <div class="talk">
        ${live
          ? html`<button type="button" class="danger" onClick=${hangUp}>${words.hangUp}</button>`
          : html`<button type="button" class="strong" onClick=${call}>${words.call}</button>`}
        <span role="status">${words.states[now]}</span>
        ${sid &&
        sid !== viewed &&
        html`<a href=${callAddress(sid)}>${words.record}</a>`}
      </div>
      <p class="fault" role="status">${failure}</p>
      <p class="notice" role="status">${remark}</p>
      ${following && html`<${Transfer} ringing=${now === "ringing"} ...${following} />`}
      ${live &&
      html`
        <div class="meters">
          <${Meter} side="microphone" label=${words.microphone} />
          <${Meter} side="agent" label=${words.agent} />
        </div>
        <div class="keypad" role="group" aria-label=${words.keypad}>
          ${[...KEYS].map(
            (key) => html`<button type="button" onClick=${() => press(key)}>${key}</button>`,
          )}
        </div>
      `}
      <div class="devices">
        <${Choice} name="microphone" label=${words.microphone} found=${microphones} then=${hear} />
        <${Choice} name="speaker" label=${words.speaker} found=${speakers} then=${speak} />
        <label>
          <span>${words.file}</span>
          <input type="file" accept="audio/wav,audio/x-wav,.wav" onChange=${chooseFile} />
        </label>
      </div>
      ${recorded &&
      html`
        <p class="chosen">
          <bdi>${recorded.name}</bdi>
          ${now === "connected" &&
          html`<button type="button" class="quiet" onClick=${hear}>${words.again}</button>`}
          <button type="button" class="quiet" onClick=${leaveFile}>${words.noWav}</button>
        </p>
      `}
      ${agent?.understands?.length > 0 &&
      html`
        <div class="understands">
          <p class="hint">${words.understands}</p>
          <ul>${agent.understands.map((phrase) => html`<li><q><bdi>${phrase}</bdi></q></li>`)}</ul>
        </div>
      `}
    </section>
  `;
}
