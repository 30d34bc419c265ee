// The live calls, from one stream of JSON lines. It is opened again whenever it breaks; its first
// line has the whole state, so nothing is missed.

import { ApiError, request } from "./api.js";
import { batch, signal } from "./lib.js";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
// The service sends an empty line when it has no news for 15 s.
const QUIET_MS = 40_000;

/** The live calls by SID, the newest last. */
export const liveCalls = signal(new Map());
/** The turns of the followed call by position. */
export const liveTurns = signal(new Map());
/** Whether the stream is open; null: it is being opened for the first time. */
export const connected = signal(null);
/** How many calls have ended since the page was opened. */
export const ended = signal(0);

let current = null;

/** Follow the live calls, and the turns of one of them. Ends the stream before. */
export function follow(callSid = "") {
  current?.abort();
  current = new AbortController();
  liveTurns.value = new Map();
  run(callSid, current);
}

export function unfollow() {
  current?.abort();
  current = null;
  batch(() => {
    connected.value = null;
    liveCalls.value = new Map();
    liveTurns.value = new Map();
  });
}

async function run(callSid, own) {
  let retryMs = FIRST_RETRY_MS;
  while (!own.signal.aborted) {
    try {
      await read(callSid, own);
      retryMs = FIRST_RETRY_MS;
    } catch (error) {
      if (own.signal.aborted || (error instanceof ApiError && error.status === 401)) return;
    }
    if (own.signal.aborted) return;
    connected.value = false;
    await new Promise((resolve) => setTimeout(resolve, retryMs * (0.5 + Math.random() / 2)));
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
  }
}

async function read(callSid, own) {
  const stream = new AbortController();
  const abort = () => stream.abort();
  own.signal.addEventListener("abort", abort);
  let timer;
  const stir = () => {
    clearTimeout(timer);
    timer = setTimeout(abort, QUIET_MS);
  };
  try {
    stir();
    const path = `events?call=${encodeURIComponent(callSid)}`;
    const answer = await request(path, { signal: stream.signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      stir();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      batch(() => lines.filter(Boolean).forEach((line) => take(JSON.parse(line))));
    }
  } finally {
    clearTimeout(timer);
    own.signal.removeEventListener("abort", abort);
    stream.abort();
  }
}

const named = (card) => ({ ...card, from: card.from_number, to: card.to_number });

function take(message) {
  if (message.type === "calls") {
    liveCalls.value = new Map(message.calls.map((card) => [card.call_sid, named(card)]));
    liveTurns.value = new Map();
    connected.value = true;
  } else if (message.type === "call") {
    const calls = new Map(liveCalls.value);
    calls.set(message.call.call_sid, named(message.call));
    liveCalls.value = calls;
  } else if (message.type === "ended") {
    const calls = new Map(liveCalls.value);
    calls.delete(message.call_sid);
    liveCalls.value = calls;
    ended.value += 1;
  } else if (message.type === "turns") {
    const turns = new Map(liveTurns.value);
    message.removed.forEach((position) => turns.delete(position));
    message.turns.forEach((turn) => turns.set(turn.position, turn));
    liveTurns.value = turns;
  }
}
