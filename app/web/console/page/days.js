// Figures of all calls by day.

import { get } from "./api.js";
import { length, money, shortDay, zone } from "./format.js";
import { html, useEffect, useState } from "./lib.js";
import { texts } from "./texts.js";

const words = texts.days;
const RANGES = [7, 30, 90];
const HEIGHT = 150;
const LEFT = 66;
const RIGHT = 14;
const TOP = 14;
const BOTTOM = 24;
const WIDTH = 480;
const MOST_LABELS = 6;

export function DaysView() {
  const [range, setRange] = useState(30);
  const [days, setDays] = useState(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    document.title = words.title;
  }, []);
  useEffect(() => {
    let gone = false;
    get(`statistics?${new URLSearchParams({ days: range, zone: zone() })}`).then(
      (found) => {
        if (gone) return;
        setDays(found.days);
        setFault("");
      },
      (error) => gone || setFault(`${words.failed} ${error.message}`),
    );
    return () => {
      gone = true;
    };
  }, [range]);
  return html`
    <div class="title">
      <h1 tabindex="-1">${words.title}</h1>
      <label>
        ${words.range}
        <select value=${range} onChange=${(event) => setRange(Number(event.currentTarget.value))}>
          ${RANGES.map((count) => html`<option value=${count}>${count}</option>`)}
        </select>
      </label>
    </div>
    <p class=${fault ? "fault" : "empty"} role="status">
      ${fault || (days && !days.length ? words.none : "")}
    </p>
    ${days?.length > 0 && html`<${Charts} days=${filled(days)} />`}
  `;
}

/** With the days between that have no calls. */
function filled(days) {
  const found = new Map(days.map((each) => [each.day, each]));
  const all = [];
  const at = new Date(`${days[0].day}T12:00:00Z`);
  const last = days.at(-1).day;
  for (;;) {
    const day = at.toISOString().slice(0, 10);
    all.push(found.get(day) ?? emptyDay(day));
    if (day >= last) return all;
    at.setUTCDate(at.getUTCDate() + 1);
  }
}

const emptyDay = (day) => ({
  day,
  calls: 0,
  answers: 0,
  response_p50_ms: null,
  response_p95_ms: null,
  interruptions: 0,
  false_interruptions: 0,
  transfers: {},
  cost_usd: 0,
});

function Charts({ days }) {
  const outcomes = [...new Set(days.flatMap((day) => Object.keys(day.transfers)))].sort();
  const named = new Map(texts.outcomes);
  return html`
    <div class="charts">
      <${Chart} title=${words.response} hint=${words.responseHint} days=${days} format=${length}
        lines=${[
          [words.p50, (day) => day.response_p50_ms],
          [words.p95, (day) => day.response_p95_ms],
        ]} />
      <${Chart} title=${words.interruptions} days=${days} format=${String}
        bars=${[
          [words.confirmed, (day) => day.interruptions],
          [words.false, (day) => day.false_interruptions],
        ]} />
      <${Chart} title=${words.transfers} days=${days} format=${String}
        bars=${outcomes.map((outcome) => [
          named.get(outcome) ?? outcome,
          (day) => day.transfers[outcome] ?? 0,
        ])} />
      <${Chart} title=${words.cost} days=${days} format=${money} axis=${(usd) => `$${Number(usd.toPrecision(2))}`}
        bars=${[[words.cost, (day) => day.cost_usd]]} />
    </div>
    <${Table} days=${days} outcomes=${outcomes} />
  `;
}

/** The top of an axis: the least round number that is not below a value, with a round half. */
function roundUp(value, whole) {
  if (value <= 0) return whole ? 2 : 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = whole && power === 1 ? [2, 4, 6, 8, 10] : [1, 2, 4, 6, 8, 10];
  return steps.find((step) => step * power >= value) * power;
}

function Chart({ title, hint, days, lines = [], bars = [], format, axis = format }) {
  const sum = (day) => bars.reduce((all, [, of]) => all + of(day), 0);
  const highest = Math.max(...days.map((day) => Math.max(sum(day), ...lines.map(([, of]) => of(day) ?? 0))));
  const top = roundUp(highest, format === String);
  const step = (WIDTH - LEFT - RIGHT) / days.length;
  const x = (number) => LEFT + step * (number + 0.5);
  const y = (value) => TOP + (1 - value / top) * (HEIGHT - BOTTOM - TOP);
  const every = Math.ceil(days.length / MOST_LABELS);
  const series = lines.length ? lines : bars;
  return html`
    <figure>
      <figcaption>
        <h2>${title}</h2>
        ${hint && html`<span class="hint">${hint}</span>`}
        <span class="legend">
          ${series.length > 1 && series.map(([name], number) => html`<span><i class=${`key series${number}`}></i>${name}</span>`)}
        </span>
      </figcaption>
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${title}>
        ${[0, 0.5, 1].map(
          (part) => html`<g class="tick">
            <line x1=${LEFT} x2=${WIDTH - RIGHT} y1=${y(top * part)} y2=${y(top * part)} />
            <text x=${LEFT - 6} y=${y(top * part) + 4} text-anchor="end">${axis(top * part)}</text>
          </g>`,
        )}
        ${days.map((day, number) => {
          let base = 0;
          return html`<g>
            ${bars.map(([name, of], which) => {
              const value = of(day);
              if (!value) return null;
              const bar = html`<rect
                class=${`series${which}`}
                x=${x(number) - step * 0.36}
                width=${step * 0.72}
                y=${y(base + value)}
                height=${y(base) - y(base + value)}
              ><title>${`${shortDay(day.day)}, ${name}: ${format(value)}`}</title></rect>`;
              base += value;
              return bar;
            })}
            ${number % every === 0 && html`<text x=${x(number)} y=${HEIGHT - 4} text-anchor="middle">${shortDay(day.day)}</text>`}
          </g>`;
        })}
        ${lines.map(([name, of], which) => html`
          <path class=${`line series${which}`} d=${line(days, of, x, y)} />
          ${days.map((day, number) => of(day) !== null && html`<circle class=${`series${which}`} r="3" cx=${x(number)} cy=${y(of(day))}>
            <title>${`${shortDay(day.day)}, ${name}: ${format(of(day))}`}</title>
          </circle>`)}
        `)}
      </svg>
    </figure>
  `;
}

function line(days, of, x, y) {
  let path = "";
  let joined = false;
  days.forEach((day, number) => {
    const value = of(day);
    if (value !== null) path += `${joined ? "L" : "M"}${x(number).toFixed(1)} ${y(value).toFixed(1)}`;
    joined = value !== null;
  });
  return path;
}

function Table({ days, outcomes }) {
  const named = new Map(texts.outcomes);
  return html`
    <details>
      <summary>${words.table}</summary>
      <div class="scroller" tabindex="0" role="group" aria-label=${words.table}>
        <table>
          <thead>
            <tr>
              ${[
                words.day, words.calls, words.p50, words.p95, words.confirmed, words.false,
                ...outcomes.map((outcome) => named.get(outcome) ?? outcome), words.cost,
              ].map((name) => html`<th scope="col">${name}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${days.map(
              (day) => html`<tr>
                <th scope="row">${shortDay(day.day)}</th>
                ${[
                  day.calls, length(day.response_p50_ms), length(day.response_p95_ms), day.interruptions,
                  day.false_interruptions, ...outcomes.map((outcome) => day.transfers[outcome] ?? 0), money(day.cost_usd),
                ].map((value) => html`<td>${value}</td>`)}
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  `;
}
