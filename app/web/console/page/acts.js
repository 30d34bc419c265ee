// What can be done on a live call.

import { callPath, post } from "./api.js";
import { html, useRef, useState } from "./lib.js";
import { Listen } from "./listen.js";
import { texts } from "./texts.js";

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
