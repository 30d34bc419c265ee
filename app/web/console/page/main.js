// The page: signing in, its frame, and the view that the address names.

import { get } from "./api.js";
import { effect, html, render, signal, useEffect, useRef } from "./lib.js";
import { connected, follow, unfollow } from "./live.js";
import { route } from "./route.js";
import { restore, signOut, token } from "./session.js";
import { SignIn } from "./sign_in.js";
import { texts } from "./texts.js";
import { load, softphone, viewOf } from "./views.js";

/** The agent: its name and the destinations of transfers. Null: not known yet. */
const agent = signal(null);

function Frame() {
  const { view, callSid } = route.value;
  const View = viewOf(view);
  const Softphone = softphone.value;
  const first = useRef(true); // the page was just opened: its focus stays
  useEffect(() => {
    if (!View) return;
    if (first.current) first.current = false;
    else document.querySelector("h1")?.focus();
  }, [view, callSid, View]);
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
        ? html`<${View} key=${callSid} callSid=${callSid} agent=${agent.value} />`
        : html`<h1 tabindex="-1">…</h1>`}
    </main>
  `;
}

function Connection() {
  const state = connected.value === null ? "opening" : connected.value ? "open" : "lost";
  return html`
    <span class=${`connection ${state}`} role="status">${texts.connection[state]}</span>
  `;
}

function Page() {
  return token.value ? html`<${Frame} />` : html`<main class="narrow"><${SignIn} /></main>`;
}

restore();

// A prefix may have been opened without its slash: then links in the page would leave it.
const home = new URL(document.baseURI).pathname;
if (location.pathname !== home && `${location.pathname}/` === home) {
  history.replaceState(null, "", home + location.hash);
}

effect(() => {
  if (token.value) return;
  agent.value = null;
  unfollow();
});

effect(() => {
  if (!token.value || !connected.value || agent.peek()) return;
  get("agent").then(
    (found) => (agent.value = found),
    () => {}, // 401 signs out; the next connection asks again
  );
});

effect(() => {
  if (token.value) load(route.value.view);
});

let followed = null;
effect(() => {
  const call = token.value ? (route.value.callSid ?? "") : null;
  if (call !== followed && call !== null) follow(call);
  followed = call;
});

render(html`<${Page} />`, document.getElementById("page"));
