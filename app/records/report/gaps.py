"""Gaps between the legs of a call: transferred, while Twilio plays keys, or after a lost stream.

The timeline says when a gap was, the call's record which humans were tried in it. How long each of
several attempts took is in neither: they share the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.records.record import CallRow

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
    """A gap between two legs, as the timeline has it."""

    #: The end of a leg, in ms.
    from_ms: float
    #: Why the leg ended: transfer, send_digits, or a record's `ended_by`.
    reason: str
    #: The tool call that ordered the redirect; empty: none did.
    call_id: str = ""
    #: Names of the destinations to try.
    route: tuple[str, ...] = ()
    #: Transfers before this one that Twilio refused: each has an attempt in the call's record.
    refused: int = 0
    #: When the next stream started; None: none did.
    to_ms: float | None = None


class LegGapReader:
    """Finds the gaps in a timeline. Give it every message in order with `take`, then call
    `finish`."""

    def __init__(self) -> None:
        self._found: list[LegGap] = []
        self._open: LegGap | None = None
        self._connected = False
        self._refused = 0
        self._route: tuple[str, ...] = ()
        #: The tool call that ordered the redirect in progress; empty: none.
        self.call_id = ""

    def take(self, at_ms: float, name: str, data: dict[str, Any]) -> None:
        match name:
            case "TransferCall" | "PlayDigits":
                self.call_id, self._route = str(data["call_id"]), tuple(data.get("route", ()))
            case "RedirectFailed":
                self._refused += bool(self._route)
                self.call_id, self._route = "", ()
            case "EndLeg" | "LegOpened" if self._connected and self._open is None:
                # A leg of another process may have recorded no end.
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
        """All gaps. The last one may be the end of the call."""
        return [*self._found, *([self._open] if self._open is not None else [])]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One human who was tried."""

    destination: str
    #: Twilio's DialCallStatus, or not-accepted for a human who picked up and did not press 1.
    outcome: str


@dataclass(frozen=True, slots=True)
class AgentGap:
    """A time in which the caller was without the agent."""

    from_ms: float
    to_ms: float
    #: See `LegGap.reason`.
    reason: str
    #: The tool call that ordered the redirect; empty: none did.
    call_id: str
    #: The humans who were tried, in their order.
    attempts: tuple[Attempt, ...]
    #: True: the call resumed with the agent. False: it ended.
    returned: bool


def agent_gaps(
    call: CallRow, leg_gaps: list[LegGap], connected_ms: float | None
) -> Iterator[AgentGap]:
    """The gaps of a timeline, with the attempts of the call's record."""
    left = [Attempt(str(e.get("destination")), str(e.get("outcome"))) for e in call.transfers]
    for gap in leg_gaps:
        del left[: gap.refused]
        if gap.to_ms is None:
            if gap.reason == _TRANSFER or left:
                to_ms = max(gap.from_ms, _ended_ms(call, connected_ms))
                attempts, returned = tuple(left), False
                yield AgentGap(gap.from_ms, to_ms, gap.reason, gap.call_id, attempts, returned)
        else:
            tried, left = left[: len(gap.route)], left[len(gap.route) :]
            yield AgentGap(
                gap.from_ms, gap.to_ms, gap.reason, gap.call_id, tuple(tried), returned=True
            )


def _ended_ms(call: CallRow, connected_ms: float | None) -> float:
    """When the call ended: caller and human may have talked on after the timeline's end."""
    return (connected_ms or 0.0) + (call.duration_s or 0.0) * 1000


def gap_reason(gap: AgentGap) -> str:
    """`Sales: no answer, Support: took the call`, or why else the agent was not on the call."""
    if gap.attempts:
        return attempts_text(gap.attempts)
    known = {_KEYS: "keys were pressed", _LOST: "the line was lost", _TRANSFER: "transferred"}
    return known.get(gap.reason, f"without the agent: {gap.reason}")


def attempts_text(attempts: tuple[Attempt, ...]) -> str:
    return ", ".join(f"{each.destination}: {in_words(each.outcome)}" for each in attempts)


def in_words(outcome: str) -> str:
    return _OUTCOMES.get(outcome, outcome)


def transferred_text(call: CallRow) -> str:
    """How a call ended that the agent transferred."""
    if not call.transfers:
        return "transferred"
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
