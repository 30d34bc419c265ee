// What can be done on a live call: speak into it, transfer it, hang up, and listen in.

import { ApiError, callPath, post, request } from "./api.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";

const LISTEN_HZ = 8000;

export function Acts({ callSid, agent, muted }) {
  const [answer, setAnswer] = useState(null);
  const [busy, setBusy] = useState(false);
  const destinations = agent?.destinations ?? [];
  const words = useRef(null);
  const destination = useRef(null);

  const act = async (what, body, done) => {
    setBusy(true);
    setAnswer(null);
    try {
      await post(callPath(callSid, `/${what}`), body);
      setAnswer({ text: done });
      return true;
    } catch (error) {
      setAnswer({ text: error.message, failed: true });
      return false;
    } finally {
      setBusy(false);
    }
  };
  const say = async (event) => {
    event.preventDefault();
    const text = words.current.value.trim();
    if (!text) {
      setAnswer({ text: texts.acts.empty, failed: true });
      words.current.focus();
    } else if (await act("say", { text }, texts.acts.said)) {
      words.current.value = "";
    }
  };
  const transfer = () => {
    const name = destination.current?.value ?? destinations[0] ?? "";
    act("transfer", name ? { destination: name } : {}, texts.acts.transferring);
  };
  return html`
    <section class="acts" aria-label=${texts.acts.title}>
      <form onSubmit=${say}>
        <input
          ref=${words}
          type="text"
          aria-label=${texts.acts.words}
          placeholder=${texts.acts.words}
          maxlength="2000"
          dir="auto"
        />
        <button type="submit" disabled=${busy}>${texts.acts.say}</button>
      </form>
      <div class="transfer">
        ${destinations.length > 1 &&
        html`<select ref=${destination} aria-label=${texts.acts.destination}>
          ${destinations.map((name) => html`<option value=${name}>${name}</option>`)}
        </select>`}
        <button type="button" disabled=${busy} onClick=${transfer}>${texts.acts.transfer}</button>
      </div>
      <button
        type="button"
        class="danger"
        disabled=${busy}
        onClick=${() => act("hangup", undefined, texts.acts.hungUp)}
      >
        ${texts.acts.hangUp}
      </button>
      ${agent?.listen_in && html`<${Listen} callSid=${callSid} muted=${muted} />`}
      <p class=${answer?.failed ? "fault" : "done"} role="status">${answer?.text}</p>
    </section>
  `;
}

/** Play a call's sound until `signal` is aborted, or there is nothing more to hear. */
async function play(callSid, context, signal, onSound) {
  const answer = await request(callPath(callSid, "/listen"), { signal });
  await context.audioWorklet.addModule("console/worklets.js");
  const speaker = new AudioWorkletNode(context, "speaker", { outputChannelCount: [2] });
  speaker.connect(context.destination);
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onSound();
    speaker.port.postMessage(value, [value.buffer]);
  }
}

/** Listening in: a stream of sound by fetch, with the token, played by a worklet. */
function Listen({ callSid, muted }) {
  const [state, setState] = useState("off"); // off, opening, on
  const [fault, setFault] = useState("");
  const own = useRef(null);

  const stop = () => {
    own.current?.abort();
    own.current = null;
  };
  useEffect(() => stop, [callSid]);

  const start = async () => {
    const ending = new AbortController();
    own.current = ending;
    setState("opening");
    setFault("");
    const context = new AudioContext({ sampleRate: LISTEN_HZ });
    ending.signal.addEventListener("abort", () => context.close());
    try {
      await play(callSid, context, ending.signal, () => setState("on"));
      if (!ending.signal.aborted) setFault(texts.listen.ended);
    } catch (error) {
      if (!ending.signal.aborted) {
        setFault(error instanceof ApiError ? error.message : texts.listen.failed);
      }
    } finally {
      ending.abort();
      if (own.current === ending) own.current = null;
      if (own.current === null) setState("off");
    }
  };
  const words = texts.listen;
  const said = state === "on" ? (muted ? words.muted : words.on) : fault;
  return html`
    <button
      type="button"
      aria-pressed=${state === "off" ? "false" : "true"}
      onClick=${state === "off" ? start : stop}
    >
      ${words.button}
    </button>
    <p class=${fault && state !== "on" ? "fault" : "done"} role="status">${said}</p>
  `;
}
