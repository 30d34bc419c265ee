// The lines of a transcript, from a call's record and what is measured of it.

/** Of a live call: what its record had, and over that what is heard right now. */
export function mergedTurns(record, live) {
  const ids = new Set([...live.values()].map((turn) => turn.item_id));
  const before = (record?.transcript ?? [])
    .filter((turn) => !ids.has(turn.item_id))
    .map((turn) => ({ ...turn, heard: turn.text, unheard: "" }));
  const now = [...live.values()].sort((a, b) => a.position - b.position);
  return [...before, ...now];
}

/** Of a call that ended: its record, and from its report what was not heard, and when it was
 * without the agent. */
export function turnsOf(record, view) {
  const measured = new Map((view?.turns ?? []).map((turn) => [turn.item_id, turn]));
  const tools = new Map((view?.tools ?? []).map((tool) => [tool.call_id, tool]));
  const recorded = (record?.transcript ?? []).map((turn) => {
    const found = measured.get(turn.item_id);
    const tool = turn.role === "tool" ? tools.get(turn.item_id) : undefined;
    return {
      ...turn,
      heard: turn.text,
      unheard: found?.unheard ?? "",
      interrupted: found?.interrupted ?? false,
      at_ms: found?.from_ms ?? tool?.from_ms ?? turn.at_ms,
      tool,
    };
  });
  const ids = new Set(recorded.map((turn) => turn.item_id));
  const unheard = [...measured.values()]
    .filter((turn) => turn.role === "assistant" && !ids.has(turn.item_id) && turn.unheard)
    .map((turn) => ({ ...turn, at_ms: turn.from_ms, extra: {} }));
  const coughs = [...measured.values()]
    .filter((turn) => turn.false_interruption && !ids.has(turn.item_id))
    .map((turn) => ({ ...turn, at_ms: turn.from_ms, extra: { interruption: "false" } }));
  const gaps = (view?.gaps ?? []).map((gap) => ({
    role: "line",
    item_id: `gap ${gap.from_ms}`,
    at_ms: gap.from_ms,
    gap,
  }));
  return [...recorded, ...unheard, ...coughs, ...gaps].sort((a, b) => a.at_ms - b.at_ms);
}
