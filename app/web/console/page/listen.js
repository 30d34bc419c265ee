// Listening in on a live call: a stream of sound by fetch, with the token, played by a worklet.

import { ApiError, callPath, request } from "./api.js";
import { html, useEffect, useRef, useState } from "./lib.js";
import { texts } from "./texts.js";

const HZ = 8000;
// How far each side is from the middle: the caller to the left, the agent to the right.
const NEAR = 1;
const FAR = 0.5;

/** Samples of µ-law bytes (ITU-T G.711). */
const SAMPLES = Float32Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 0xff;
  const size = ((((code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
  return (code & 0x80 ? -size : size) / 32768;
});

/** Play a call until `signal` is aborted, or there is nothing more to hear. */
async function play(callSid, context, signal, onSound) {
  const answer = await request(callPath(callSid, "/listen"), { signal });
  await context.audioWorklet.addModule("console/speaker.js");
  const speaker = new AudioWorkletNode(context, "speaker", { outputChannelCount: [2] });
  speaker.connect(context.destination);
  const reader = answer.body.getReader();
  let caller = null; // the first byte of a sample whose second one has not come
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const both = new Float32Array((value.length + 1) & ~1);
    let at = 0;
    for (const byte of value) {
      if (caller === null) {
        caller = SAMPLES[byte];
      } else {
        both[at] = NEAR * caller + FAR * SAMPLES[byte];
        both[at + 1] = FAR * caller + NEAR * SAMPLES[byte];
        at += 2;
        caller = null;
      }
    }
    const sound = both.slice(0, at);
    onSound(sound.length / 2);
    speaker.port.postMessage(sound, [sound.buffer]);
  }
}

export function Listen({ callSid, muted }) {
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
    const context = new AudioContext({ sampleRate: HZ });
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
