"""Answering machine detection: the table of app/call/caller/answering_machine.py, as Markdown."""

from app.call.caller.answering_machine import EFFECTS, Shown, Verdict


def effects() -> str:
    """One row for each verdict of Twilio's, one column for what the call has shown by then."""
    head = ["`AnsweredBy`", *Shown]
    rows = [[f"`{verdict}`", *(EFFECTS[verdict][shown] for shown in Shown)] for verdict in Verdict]
    return "\n".join(map(_line, (head, ["---"] * len(head), *rows)))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
