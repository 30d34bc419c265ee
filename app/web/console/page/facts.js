// What is known of a call in a few words: who, when, what it cost; and its files.

import { clock, length, money, whenFull } from "./format.js";
import { html, useState } from "./lib.js";
import { texts } from "./texts.js";

const words = texts.call;

export function Facts({ record, files }) {
  const row = (name, value) => value && html`<dt>${name}</dt><dd><bdi>${value}</bdi></dd>`;
  const direction = texts.direction[record.direction] ?? record.direction;
  return html`
    <section class="facts" aria-labelledby="facts">
      <h2 id="facts">${words.facts}</h2>
      <dl>
        ${row(words.from, record.from)} ${row(words.to, record.to)}
        ${row(words.began, `${whenFull(record.created_at)} · ${direction}`)}
        ${row(words.duration, record.duration_s !== null && clock(record.duration_s * 1000))}
        ${row(words.agent, record.agent)} ${row(words.summary, record.summary)}
        ${record.transfers.map((each) => row(words.transfer, transferOf(each)))}
      </dl>
      <${Cost} cost=${record.cost} /> <${Usage} usage=${record.usage} />
      ${files.length > 0 && html`<${Files} files=${files} />`}
    </section>
  `;
}

function transferOf(each) {
  const outcome = texts.attempts[each.outcome] ?? each.outcome;
  const parts = [`${each.destination}: ${outcome}`, each.reason, each.summary];
  return parts.filter(Boolean).join(" · ");
}

const NOT_PARTS = new Set(["total", "currency", "as_of", "unknown"]);

/** What each part of the call cost. A part without a known price says so. */
function Cost({ cost }) {
  if (!cost?.currency) return null;
  const unknown = cost.unknown ?? [];
  const parts = Object.entries(cost).filter(([name]) => !NOT_PARTS.has(name));
  const known = parts.filter(([, value]) => typeof value === "number");
  const total = cost.total ?? known.reduce((sum, [, value]) => sum + value, 0);
  const named = (name) => words.costParts[name] ?? name.replaceAll("_", " ");
  return html`<table class="sums">
    <caption>${words.cost}${cost.as_of && html` <small>${words.asOf(cost.as_of)}</small>`}</caption>
    <tbody>
      ${known.map(([name, value]) => html`<tr><th scope="row">${named(name)}</th><td>${money(value, cost.currency)}</td></tr>`)}
      ${unknown.map((name) => html`<tr><th scope="row">${named(String(name))}</th><td>${words.noPrice}</td></tr>`)}
      <tr class="total"><th scope="row">${words.total}</th><td>${money(total, cost.currency)}</td></tr>
    </tbody>
  </table>`;
}

/** Tokens, and what else is counted. */
function Usage({ usage }) {
  const counts = Object.entries(usage ?? {}).filter(([, count]) => count > 0);
  if (!counts.length) return null;
  const named = (name) => words.usageParts[name] ?? name.replaceAll("_", " ");
  return html`<table class="sums">
    <caption>${words.usage}</caption>
    <tbody>
      ${counts.map(([name, count]) => html`<tr><th scope="row">${named(name)}</th><td>${name.endsWith("_ms") ? length(count) : count.toLocaleString()}</td></tr>`)}
    </tbody>
  </table>`;
}

function Files({ files }) {
  const [fault, setFault] = useState("");
  const save = (saves) => async () => {
    try {
      setFault("");
      await saves();
    } catch (error) {
      setFault(`${texts.files.failed} ${error.message}`);
    }
  };
  return html`
    <h3 id="files">${texts.files.title}</h3>
    <ul class="files" role="list" aria-labelledby="files">
      ${files.map(([name, saves]) => html`<li><button type="button" class="quiet" onClick=${save(saves)}>${name}</button></li>`)}
    </ul>
    <p class="fault" role="status">${fault}</p>
  `;
}
