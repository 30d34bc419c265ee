"""When a call was away from the agent: handed to humans, while keys were pressed, or lost.

The timeline says when, the call's record says with whom. How long each of several humans was rung
is in neither: they share the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.records.schema import CallRow

_TRANSFER, _KEYS, _LOST = "transfer", "send_digits", "line"
_OUTCOMES = {
    "completed": "took the call",
    "not-accepted": "did not take the call",
    "no-answer": "no answer",
    "failed": "not reached",
    "canceled": "the caller hung up",
    "in-progress": "talks",
}


@dataclass(slots=True)
class LegGap:
    """The call went on without a leg. `reason`: what the leg had ended for. `call_id`: the tool
    call that was the cause, if one was. `route`: who was to be rung. `refused`: how many orders to
    ring somebody Twilio had refused before. `to_ms`: None when no leg followed."""

    from_ms: float
    reason: str
    call_id: str = ""
    route: tuple[str, ...] = ()
    refused: int = 0
    to_ms: float | None = None


class LegGapReader:
    """Reads them from the messages of a timeline, in order."""

    def __init__(self) -> None:
        self._found: list[LegGap] = []
        self._open: LegGap | None = None
        self._connected = False
        self._refused = 0
        self._route: tuple[str, ...] = ()
        self.call_id = ""  # the tool call that took the caller away, or is about to

    def take(self, at_ms: float, name: str, data: dict[str, Any]) -> None:
        match name:
            case "TransferCall" | "PlayDigits":
                self.call_id, self._route = str(data["call_id"]), tuple(data.get("route", ()))
            case "RedirectFailed":
                self._refused += bool(self._route)
                self.call_id, self._route = "", ()
            case "EndLeg" | "LegOpened" if self._connected and self._open is None:
                # A leg that another process had may have left no word of its end.
                why = data.get("reason") or (_TRANSFER if self._route else _LOST)
                self._open = LegGap(at_ms, str(why), self.call_id, self._route, self._refused)
                self._refused = 0
            case "StreamStarted":
                self._connected = True
                if self._open is not None:
                    self._open.to_ms = at_ms
                    self._found.append(self._open)
                self._open, self.call_id, self._route = None, "", ()

    def finish(self) -> list[LegGap]:
        """All of them; the last may be the end of the call."""
        return [*self._found, *([self._open] if self._open is not None else [])]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A human was rung. `outcome`: Twilio's word, or not-accepted of one who picked up only."""

    destination: str
    outcome: str


@dataclass(frozen=True, slots=True)
class AgentGap:
    """The caller was without the agent. `reason`: transfer, send_digits, line, or what the agent
    was lost for. `attempts`: who was rung meanwhile, one after the other. `returned`: the agent had
    the caller back then, and else the call was over."""

    from_ms: float
    to_ms: float
    reason: str
    call_id: str
    attempts: tuple[Attempt, ...]
    returned: bool


def agent_gaps(
    call: CallRow, leg_gaps: list[LegGap], connected_ms: float | None
) -> Iterator[AgentGap]:
    """With the humans of the call's record."""
    left = [Attempt(str(e.get("destination")), str(e.get("outcome"))) for e in call.transfers]
    for away in leg_gaps:
        del left[: away.refused]
        if away.to_ms is None:
            if away.reason == _TRANSFER or left:
                to_ms = max(away.from_ms, _ended_ms(call, connected_ms))
                attempts, returned = tuple(left), False
                yield AgentGap(away.from_ms, to_ms, away.reason, away.call_id, attempts, returned)
        else:
            rung, left = left[: len(away.route)], left[len(away.route) :]
            yield AgentGap(
                away.from_ms, away.to_ms, away.reason, away.call_id, tuple(rung), returned=True
            )


def _ended_ms(call: CallRow, connected_ms: float | None) -> float:
    """When the call was over: a human may have talked on after the timeline's end."""
    return (connected_ms or 0.0) + (call.duration_s or 0.0) * 1000


def gap_reason(gap: AgentGap) -> str:
    """`Sales: no answer, Support: took the call`, or why else nobody talked with the agent."""
    if gap.attempts:
        return attempts_text(gap.attempts)
    known = {_KEYS: "keys were pressed", _LOST: "the line was lost", _TRANSFER: "handed over"}
    return known.get(gap.reason, f"away: {gap.reason}")


def attempts_text(attempts: tuple[Attempt, ...]) -> str:
    return ", ".join(f"{each.destination}: {in_words(each.outcome)}" for each in attempts)


def in_words(outcome: str) -> str:
    return _OUTCOMES.get(outcome, outcome)


def transferred_text(call: CallRow) -> str:
    """How a call ended that the agent handed over."""
    if not call.transfers:
        return "handed over"
    last = call.transfers[-1]
    name = last.get("destination")
    known = {
        "completed": f"{name} took the call",
        "canceled": f"the caller hung up while {name} was rung",
        "in-progress": f"{name} has the call",
        "ringing": f"{name} is being rung",
    }
    outcome = str(last.get("outcome"))
    return known.get(outcome, f"{name}: {in_words(outcome)}")
