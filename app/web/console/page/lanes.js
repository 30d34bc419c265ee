// Where the parts of a call are on its time axis: lanes from top to bottom, and what is in sight.

const HEIGHTS = {
  axis: 20, flags: 32, callerWords: 17, caller: 56, agent: 56, agentWords: 17,
  tools: 24, line: 24, silences: 24, notes: 16, marks: 14,
};
const SPACES = { callerWords: 2, agent: 4, tools: 8, line: 4, silences: 4, notes: 6, marks: 4 };

/** The lanes that a call needs: `top` and `height` in px of each, and the `height` of all. */
export function lanesOf(view) {
  const needed = {
    axis: true, flags: view.interruptions.length + view.false_interruptions.length > 0 || view.hung_up_ms !== null,
    callerWords: true, caller: true, agent: true, agentWords: true,
    tools: view.tools.length > 0,
    line: view.gaps.length + view.model_gaps.length > 0,
    silences: view.silences.length > 0,
    notes: view.notes.length > 0,
    marks: view.marks.length > 0,
  };
  const lanes = {};
  let top = 0;
  for (const [name, height] of Object.entries(HEIGHTS)) {
    if (!needed[name]) continue;
    top += SPACES[name] ?? 0;
    lanes[name] = { top, height };
    top += height;
  }
  return { lanes, height: top + 4 };
}

// Of a talk with a human after the agent, which may be hours long, so much is drawn.
const LEAST_TALK_MS = 8000;
const TALK_SHARE = 0.2;
const MARGIN_SHARE = 0.01;

/** Where the time axis ends. */
export function axisEnd(view) {
  const last = view.gaps.at(-1);
  const talk = last && !last.returned ? last.from_ms + Math.max(LEAST_TALK_MS, TALK_SHARE * last.from_ms) : Infinity;
  return Math.max(1000, (1 + MARGIN_SHARE) * Math.min(view.ended_ms, talk));
}

/**
 * What of each answer was generated and not heard: from when to when it would have sounded. On a
 * call that lives, what was not interrupted may still be heard.
 */
export function unheardParts(view, endMs, lives) {
  const agents = view.turns.filter((turn) => turn.role === "assistant" && turn.spans.length);
  return agents.flatMap((turn, number) => {
    const lost = (turn.generated_ms ?? 0) - (turn.heard_ms ?? 0);
    if (!turn.cut || lost < 1 || (lives && !turn.interrupted)) return [];
    const from = turn.spans.at(-1).to_ms;
    const next = agents[number + 1]?.spans[0].from_ms ?? Infinity;
    return [{ turn, from_ms: from, to_ms: Math.min(from + lost, next, endMs), lost_ms: lost }];
  });
}

/** A stretch of the time axis, in px: `x` places a moment in it. */
export class Window {
  constructor(left, width, scale) {
    this.left = left;
    this.width = width;
    this.scale = scale; // px for each ms
  }

  x(ms) {
    return Math.round((ms * this.scale - this.left) * 10) / 10;
  }

  wide(from, to, least = 1) {
    return Math.max(least, this.x(to) - this.x(from));
  }

  /** Of these, what is in sight; `from` and `to` give the times of one. */
  inSight(all, from, to) {
    return all.filter((each) => this.x(to(each)) >= -2 && this.x(from(each)) <= this.width + 2);
  }
}
