// How long the caller waited for each answer, and for what.

import { clock, length, median } from "./format.js";
import { html } from "./lib.js";
import { texts } from "./texts.js";

const words = texts.latency;

export function Latency({ view }) {
  const answers = view?.answers ?? [];
  return html`
    <section class="latency" aria-labelledby="latency">
      <h2 id="latency">${words.title}</h2>
      ${answers.length
        ? html`<${Figures} view=${view} /> <${Table} answers=${answers} />`
        : html`<p class="empty">${words.none}</p>`}
    </section>
  `;
}

const total = (answer) => answer.heard_ms - answer.last_sound_ms;

function Figures({ view }) {
  const bySound = view.answers.filter((answer) => answer.by_sound);
  const waits = (bySound.length ? bySound : view.answers).map(total);
  const trip = view.round_trip_ms;
  const middle = median(waits);
  const figure = (name, value) => html`<div><dt>${name}</dt><dd>${length(value)}</dd></div>`;
  return html`
    <dl class="figures">
      ${figure(words.median, middle)} ${figure(words.worst, Math.max(...waits))}
      ${trip !== null && figure(words.atTheEar, middle + trip)}
      ${trip !== null && figure(words.roundTrip, trip)}
    </dl>
    <p class="hint">${bySound.length ? words.bySound : words.byEvents}</p>
  `;
}

/** The lengths of the steps; what is unknown belongs to the step after it. */
function steps(answer) {
  let from = answer.last_sound_ms;
  return [answer.committed_ms, answer.first_delta_ms, answer.sent_ms, answer.heard_ms].map((to) => {
    if (to === null) return null;
    const step = to - from;
    from = to;
    return step;
  });
}

function Table({ answers }) {
  const longest = Math.max(...answers.map(total), 1);
  return html`
    <div class="scroller" tabindex="0" role="group" aria-label=${words.caption}>
      <table>
        <caption>${words.caption}</caption>
        <thead>
          <tr>
            <th scope="col">${words.answer}</th>
            <th scope="col" class="wide"><span class="hidden">${words.title}</span></th>
            ${words.steps.map(
              (name, number) => html`<th scope="col" title=${words.stepHints[number]}>
                <i class=${`key step${number}`}></i> ${name}
              </th>`,
            )}
            <th scope="col">${words.total}</th>
          </tr>
        </thead>
        <tbody>
          ${answers.map((answer) => {
            const lengths = steps(answer);
            return html`<tr>
              <th scope="row">${clock(answer.last_sound_ms)}</th>
              <td class="wide">
                <div class="waterfall" aria-hidden="true">
                  ${lengths.map(
                    (ms, number) =>
                      ms > 0 &&
                      html`<i class=${`step${number}`} style=${{ width: `${(100 * ms) / longest}%` }}></i>`,
                  )}
                </div>
              </td>
              ${lengths.map((ms) => html`<td>${ms === null ? "–" : Math.round(ms)}</td>`)}
              <td><strong>${length(total(answer))}</strong></td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
  `;
}
