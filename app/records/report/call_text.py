"""A call in words: its transcript, its tool calls, its gaps, how it ended, what it cost."""

import json

from app.call.caller.pause import BACKCHANNEL
from app.records.record import CallRow
from app.records.report.call_report import CallReport, SpokenTurn
from app.records.report.gaps import AgentGap, gap_reason, transferred_text
from app.records.report.trace import Tool
from app.records.visible import one_line


def transcript_text(report: CallReport) -> str:
    """The transcript: a line for each turn, gap and tool call, and for the end of the call."""
    lines = [(turn.from_ms, f"{_WHO[turn.role]}  {_words(turn)}") for turn in report.turns]
    lines += [(each.from_ms, f"line    {gap_text(each)}") for each in report.gaps]
    lines += [(tool.from_ms, f"tool    {tool_text(tool)}") for tool in report.tools]
    if report.call.ended_by:
        lines.append((report.ended_ms, f"line    {ending(report.call)}"))
    lines.sort(key=lambda line: line[0])
    return "".join(f"{clock(at_ms)}  {one_line(text)}\n" for at_ms, text in lines)


_WHO = {"user": "caller", "assistant": "agent "}


def clock(at_ms: float) -> str:
    """`1:02.5`: minutes and seconds."""
    minutes, ms = divmod(round(at_ms / 100) * 100, 60_000)
    return f"{minutes}:{ms / 1000:04.1f}"


def _words(turn: SpokenTurn) -> str:
    if turn.role == "user":
        return callers_words(turn)
    words = [turn.heard] if turn.heard else []
    why = "interrupted; " if turn.interrupted else ""
    if turn.cut and turn.unheard:
        words.append(f"[{why}not heard: {turn.unheard}]")
    elif turn.interrupted:
        words.append("[interrupted]")
    return " ".join(words) or "[no words]"


def callers_words(turn: SpokenTurn) -> str:
    """What the caller said: `Mm-hm. [no interruption: the agent went on]`."""
    if not turn.false_interruption:
        return turn.heard or "[not understood]"
    return f"{turn.heard or '[a cough]'} [no interruption: the agent went on]"


def no_interruption(reason: str) -> str:
    """What a sound was, by what it was judged by: a backchannel, or a cough, which has no words."""
    return reason if reason == BACKCHANNEL else "a cough"


def gap_text(gap: AgentGap) -> str:
    """A gap in a line: `Sales: no answer; back with the agent after 15.2 s`."""
    then = "back with the agent" if gap.returned else "the call was over"
    return f"{gap_reason(gap)}; {then} after {lasted(gap)}"


def lasted(gap: AgentGap) -> str:
    """How long a gap was: `15.2 s`, `3:04 min`."""
    seconds = (gap.to_ms - gap.from_ms) / 1000
    if seconds < 99:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f} min"


def tool_text(tool: Tool) -> str:
    """A tool call in a line: `menu(size="large") → {"margherita":11.0}`."""
    answer = " ".join(tool.result.split()) or tool.outcome
    failed = "failed: " if tool.outcome == "failed" else ""
    return f"{tool.name}({_arguments(tool.arguments)}) → {failed}{answer}"


def _arguments(text: str) -> str:
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return " ".join(text.split())
    if not isinstance(arguments, dict):
        return " ".join(text.split())
    parts = (f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())
    return ", ".join(parts)


def ending(call: CallRow) -> str:
    """How a call ended, in words."""
    known = {
        "agent": "the agent hung up",
        "caller": "the caller hung up",
        "line": "the line was lost",
        "handshake": "no media stream could be opened",
        "unclaimed": "no media stream came",
        "stuck": "the line took no more",
        "busy": "the service took no more calls",
        "error": "the service failed",
        "limit": "the longest call was reached",
        "idle": "the caller said nothing any more",
        "model": "the model was lost",
        "shutdown": "the service stopped",
        "operator": "it was ended from outside",
        "voicemail": "an answering machine had picked up",
        "transfer": transferred_text(call),
        "": "the call goes on" if call.ended_at is None else "ended",
    }
    reason = call.ended_by or ""
    return known.get(reason, f"ended: {reason}")


_COST_PARTS = ("model", "line", "transcription")


def cost_text(call: CallRow) -> str:
    """What a call cost: `0.0208 USD`. If a price is unknown, the sum of the known parts:
    `0.0085 USD + model, price unknown`. Empty: the record has no cost."""
    cost = call.cost
    if not cost:
        return ""
    unknown = [str(name) for name in cost.get("unknown") or ()]
    total = cost.get("total")
    if total is None:
        total = sum(cost.get(name) or 0.0 for name in _COST_PARTS)
    text = f"{total:.4f} {cost.get('currency', '')}".strip()
    return f"{text} + {' and '.join(unknown)}, price unknown" if unknown else text
