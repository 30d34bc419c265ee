// What the parts of a time axis say, in a few words.

import { length } from "./format.js";
import { texts } from "./texts.js";

const words = texts.timeline;

export const silenceText = (each) =>
  words.silence(length(each.to_ms - each.from_ms), words.causes[each.cause] ?? each.cause);

export const markText = (each) => {
  if (each.flushed) return words.flushedMark(each.name);
  return each.echoed_ms === null
    ? words.lostMark(each.name)
    : words.mark(each.name, length(each.echoed_ms - each.sent_ms));
};

export const noteText = (each) => words.notes[each.kind]?.(each.text) ?? each.text;

/** Who was tried, or why else the agent was not on the call, and whether it came back. */
export function gapText(each) {
  const tried = each.attempts.map(
    (one) => `${one.destination}: ${texts.attempts[one.outcome] ?? one.outcome}`,
  );
  const what = tried.join(", ") || words.gaps[each.reason] || each.reason;
  return each.returned ? words.resumed(what) : what;
}

export const modelGapText = (each) =>
  each.resumed
    ? words.modelResumed(length(each.to_ms - each.from_ms), each.reason)
    : words.modelLost(each.reason);

export const interruptionText = (each) =>
  words.interruption(length(each.heard_ms), length(each.generated_ms));

export const falseInterruptionText = (each) =>
  words.falseInterruption(each.reason, length(each.paused_ms));

/** A tool's arguments: `size: large`; as they are, if they are no JSON object. */
export function toolText(tool) {
  try {
    const found = JSON.parse(tool.arguments || "{}");
    if (found && typeof found === "object" && !Array.isArray(found)) {
      return Object.entries(found)
        .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
        .join(", ");
    }
  } catch {
    // The model wrote something else.
  }
  return tool.arguments;
}
