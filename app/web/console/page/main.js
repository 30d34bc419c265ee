// The page: signing in, its frame, and the view that the address names. A view is loaded when it is
// first opened, with the modules that it alone needs.

import { get } from "./api.js";
import { html, render, signal, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";
import { connected, follow, unfollow } from "./live.js";
import { route } from "./route.js";
import { restore, signOut, token } from "./session.js";
import { SignIn } from "./sign_in.js";
import { texts } from "./texts.js";

/** The name of each view's component, and its modules: the one that has the component first. */
const VIEWS = {
  start: ["StartView", "start", "format", "outcome", "phone_line", "phone_sound", "softphone"],
  call: [
    "CallView", "call", "acts", "drawing", "facts", "format", "lanes", "latency", "one_call", "outcome", "player",
    "recording", "time", "timeline", "timeline_texts", "transcript",
  ],
  days: ["DaysView", "days", "format"],
};

const components = Object.fromEntries(Object.keys(VIEWS).map((name) => [name, signal(null)]));

/** The softphone, whose call goes on in other views; null: it was not opened yet. */
const softphone = signal(null);

/** The component of a view, null while it is being loaded; and the softphone. */
const useView = (name) => [components[name].value, softphone.value];

/** Load a view. One that failed is tried again. */
async function load(name) {
  const component = components[name];
  if (component.value && component.value !== NotLoaded) return;
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

function Frame() {
  const { view, callSid } = route.value;
  const open = connected.value;
  const [View, Softphone] = useView(view);
  const [agent, setAgent] = useState(null); // its name and the destinations of transfers
  const first = useRef(true); // the page was just opened: its focus stays
  useEffect(() => {
    if (!View) return;
    if (first.current) first.current = false;
    else document.querySelector("h1")?.focus();
  }, [view, callSid, View]);
  useLayoutEffect(() => {
    load(view);
  }, [view]);
  useLayoutEffect(() => follow(callSid), [callSid]);
  useLayoutEffect(() => unfollow, []);
  useEffect(() => {
    // 401 signs out; the next connection asks again.
    if (open && !agent) get("agent").then(setAgent, () => {});
  }, [open]);
  const link = (name, address, text) => html`
    <a href=${address} aria-current=${view === name ? "page" : null}>${text}</a>
  `;
  return html`
    <header class="top">
      <nav aria-label=${texts.nav.label}>
        ${link("start", "#/", texts.nav.calls)} ${link("days", "#/days", texts.nav.days)}
      </nav>
      <${Connection} />
      <button type="button" class="quiet" onClick=${() => signOut()}>${texts.nav.signOut}</button>
    </header>
    <main>
      ${view !== "start" && Softphone && html`<${Softphone} callSid=${callSid} />`}
      ${View
        ? html`<${View} key=${callSid} callSid=${callSid} agent=${agent} />`
        : html`<h1 tabindex="-1">…</h1>`}
    </main>
  `;
}

function Connection() {
  const open = connected.value;
  const state = open === null ? "opening" : open ? "open" : "lost";
  return html`
    <span class=${`connection ${state}`} role="status">${texts.connection[state]}</span>
  `;
}

function Page() {
  const key = token.value;
  return key ? html`<${Frame} key=${key} />` : html`<main class="narrow"><${SignIn} /></main>`;
}

restore();

// A prefix may have been opened without its slash: then links in the page would leave it.
const home = new URL(document.baseURI).pathname;
if (location.pathname !== home && `${location.pathname}/` === home) {
  history.replaceState(null, "", home + location.hash);
}

render(html`<${Page} />`, document.getElementById("page"));
