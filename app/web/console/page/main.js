import { html, render, signal } from "./lib.js";
const n = signal(0);
function App() { return html`<main><h1>Smoke</h1><button onClick=${() => n.value++}>Count ${n.value}</button><del>x</del><svg width="10" height="10"><rect width="5" height="5" style=${{fill: "red"}} /></svg></main>`; }
render(html`<${App} />`, document.getElementById("page"));
