"""Tables for the terminal: a list of calls, the facts of a call, its transcript."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from app.records.record import CallRow
from app.records.report.call_report import CallReport, SpokenTurn
from app.records.report.call_text import (
    callers_words,
    clock,
    cost_text,
    ending,
    gap_text,
    no_interruption,
    tool_text,
)
from app.records.report.gaps import in_words
from app.records.visible import one_line


def listing(rows: list[CallRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("call", "when (UTC)"):
        table.add_column(name, no_wrap=True)
    table.add_column("from → to", min_width=14)
    table.add_column("sec", justify="right", no_wrap=True)
    for name, width in (("end", 10), ("cost", 6), ("sound", 5)):
        table.add_column(name, min_width=width)
    for row in rows:
        numbers = f"{row.from_number or '?'} → {row.to_number or '?'}"
        seconds = "" if row.duration_s is None else f"{row.duration_s:.1f}"
        end = f"{row.status}, {ending(row)}"
        recorded = "yes" if row.recording else "no"
        cells = row.call_sid[:8], _when(row), numbers, seconds, end, cost_text(row), recorded
        table.add_row(*map(_text, cells))
    return table


def _text(words: str, style: str = "") -> Text:
    """Foreign text: with neither control characters for the terminal nor markup for rich."""
    return Text(one_line(words), style)


def _when(row: CallRow) -> str:
    return f"{row.started_at or row.created_at:%Y-%m-%d %H:%M}"


def facts(report: CallReport) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, fact in _facts(report):
        if fact:
            table.add_row(name, _text(fact))
    return table


def _facts(report: CallReport) -> Iterator[tuple[str, str]]:
    call = report.call
    yield "call", call.call_sid
    yield "when", f"{_when(call)} UTC, {report.ended_ms / 1000:.1f} s"
    yield "from, to", f"{call.from_number or '?'} → {call.to_number or '?'} ({call.direction})"
    yield "end", f"{call.status}, {ending(call)}"
    yield "summary", call.summary or ""
    yield "latency", _latency(report)
    if report.greeted_ms is not None and report.connected_ms is not None:
        yield (
            "greeting",
            f"{max(0, report.greeted_ms - report.connected_ms):.0f} ms after connecting",
        )
    if report.round_trip_ms is not None:
        yield "line", f"{report.round_trip_ms:.0f} ms to Twilio and back"
    for cut in report.interruptions:
        yield (
            "interrupted",
            f"at {clock(cut.at_ms)}: {cut.heard_ms:.0f} of {cut.generated_ms:.0f} ms heard, "
            f"{cut.dropped_ms:.0f} ms dropped from Twilio's buffer",
        )
    for each in report.false_interruptions:
        yield (
            "went on",
            f"at {clock(each.at_ms)}: {no_interruption(each.reason)}, "
            f"paused for {each.paused_ms:.0f} ms",
        )
    for transfer in call.transfers:
        yield "transfer", _transfer(transfer)
    tokens = {name: n for name, n in call.usage.items() if n and "transcri" not in name}
    yield "tokens", ", ".join(f"{name} {n}" for name, n in tokens.items())
    yield "cost", cost_text(call)
    yield "recording", report.recording_fault or (str(report.wav) if report.wav else "")


def _latency(report: CallReport) -> str:
    if report.median_ms is None or report.worst_ms is None:
        return ""
    ear_ms = report.at_the_ear_ms(report.median_ms)
    at_the_ear = "" if ear_ms is None else f"; {ear_ms:.0f} ms at the caller's ear"
    how = (
        "from the caller's last sound to the agent's first"
        if report.by_sound
        else "since turn detection ended the turn, without the silence that it waited for"
    )
    count = len(report.latencies_ms)
    return (
        f"{report.median_ms:.0f} ms in the median of {count}, {report.worst_ms:.0f} ms at worst, "
        f"{how}{at_the_ear}"
    )


def _transfer(record: Mapping[str, Any]) -> str:
    """`Sales: no answer; a price; told: Wants 40 chairs`: outcome, reason, summary."""
    outcome = in_words(str(record.get("outcome")))
    warm = " (briefed while the caller waited)" if record.get("warm") else ""
    texts = str(record.get("reason") or ""), str(record.get("summary") or "")
    reason, summary = (text.strip() for text in texts)
    parts = f"{record.get('destination')}: {outcome}{warm}", reason, summary and f"told: {summary}"
    return "; ".join(part for part in parts if part)


def transcript(report: CallReport) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    lines = [(turn.from_ms, *_spoken(turn)) for turn in report.turns]
    lines += [(tool.from_ms, "tool", _text(tool_text(tool), "green")) for tool in report.tools]
    lines += [(each.from_ms, "line", _text(gap_text(each), "yellow")) for each in report.gaps]
    for at_ms, who, words in sorted(lines, key=lambda line: line[0]):
        table.add_row(clock(at_ms), who, words)
    return table


def _spoken(turn: SpokenTurn) -> tuple[str, Text]:
    if turn.role == "user":
        return "caller", _text(callers_words(turn), "cyan")
    words = _text(turn.heard, "magenta")
    if turn.unheard:
        why = "interrupted; " if turn.interrupted else ""
        words.append(one_line(f" [{why}not heard: {turn.unheard}]"), "dim")
    return "agent", words
