// The views. Each is loaded when it is first opened, with the modules that it alone needs, all at once.

import { html, signal } from "./lib.js";
import { texts } from "./texts.js";

/** The name of each view's component, and its modules: the one that has the component first. */
const VIEWS = {
  start: ["StartView", "start", "format", "outcome", "phone_line", "phone_sound", "softphone"],
  call: [
    "CallView", "call", "acts", "drawing", "facts", "format", "lanes", "latency", "listen", "one_call",
    "outcome", "player", "recording", "time", "timeline", "timeline_texts", "transcript", "turns",
    "waveform",
  ],
  days: ["DaysView", "days", "format"],
};

const components = Object.fromEntries(Object.keys(VIEWS).map((name) => [name, signal(null)]));

/** The softphone, whose call goes on in other views; null: it was not opened yet. */
export const softphone = signal(null);

/** The component of a view; null: it is being loaded. */
export const viewOf = (name) => components[name].value;

/** Load a view. One that failed is tried again. */
export async function load(name) {
  const component = components[name];
  if (component.peek() && component.peek() !== NotLoaded) return;
  component.value = null;
  const [exported, ...modules] = VIEWS[name];
  try {
    const [view, ...others] = await Promise.all(modules.map((each) => import(`./${each}.js`)));
    if (name === "start") softphone.value = others[modules.indexOf("softphone") - 1].Softphone;
    component.value = view[exported];
  } catch {
    component.value = NotLoaded;
  }
}

function NotLoaded() {
  return html`
    <h1 tabindex="-1">${texts.views.failed}</h1>
    <button type="button" onClick=${() => location.reload()}>${texts.views.reload}</button>
  `;
}
