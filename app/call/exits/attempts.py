"""The attempts of a transfer: which destination is dialled next, and how each attempt ended.

Pure, like the machine, and alive between two legs of a call. The bridge passes on what Twilio's
webhooks report, which may come twice, and late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.call.destinations import Destination
from app.call.ids import OURS

# Outcomes of an attempt, beside Twilio's busy and no-answer. They are stored in the call's record.
#: The human accepted, and the call with them is over.
TAKEN = "completed"
#: Someone or an answering machine answered, and did not accept.
NOT_TAKEN = "not-accepted"
#: The caller hung up first.
CALLER_GONE = "canceled"
#: The destination could not be dialled.
FAILED = "failed"

# In the record, of an attempt that has no outcome yet.
#: The telephone rings.
RINGING = "ringing"
#: The human accepted, and talks with the caller.
TALKING = "in-progress"

_IN_WORDS = {
    "busy": "the line was busy",
    "no-answer": "nobody answered",
    NOT_TAKEN: "somebody or an answering machine picked up, but did not take the call",
    FAILED: "the call did not go through",
}


def back_after(outcome: str) -> str:
    """The tool's answer for the model when only the outcome of the last attempt is known."""
    return f"Nobody took the call: {outcome}. The caller is back with you."


@dataclass(slots=True)
class Attempt:
    """One destination, dialled once."""

    destination: Destination
    #: The human pressed 1.
    accepted: bool = False
    #: TAKEN, NOT_TAKEN, CALLER_GONE, FAILED, or Twilio's busy or no-answer; empty while under way.
    outcome: str = ""
    #: Duration of the call with the destination; None: Twilio did not say.
    seconds: float | None = None
    #: The SID of the call to the human of a warm attempt; empty: none is placed.
    callee_sid: str = ""


class TransferAttempts:
    """The attempts of one transfer.

    Call `next` to begin an attempt. Pass on what Twilio reports of it, with its number: `pressed`,
    `ended`. If its outcome is not TAKEN and `upcoming` is not None, call `next` again.
    """

    def __init__(
        self,
        route: Sequence[Destination],
        call_id: str,
        reason: str = "",
        summary: str = "",
        numbered_from: int = 0,
    ) -> None:
        """
        Args:
            route: The destinations, in the order of the attempts.
            call_id: The tool call that asked for the transfer.
            reason: As the model wrote it.
            summary: As the model wrote it; the human hears it.
            numbered_from: How many attempts the call has had before. Webhook URLs name an attempt
                by its number.
        """
        #: The call resumes with the agent when no human accepts it. False: it ends.
        self.resumes = True
        self.call_id = call_id
        self.reason = reason
        self.summary = summary
        self._untried = list(route)
        self._first = numbered_from
        self._attempts: list[Attempt] = []
        self._caller_gone = False
        #: Twilio got the TwiML that follows the transfer: the call goes on, or ends, without it.
        self.over = False

    @classmethod
    def restore(
        cls, records: Sequence[Mapping[str, Any]], destinations: Sequence[Destination]
    ) -> "TransferAttempts | None":
        """The last transfer of a call from its stored `records`, as another process left it. None:
        the call has had none.

        Args:
            records: Of all transfers of the call. An older version stored neither the route nor the
                first attempt: then the last attempt is a transfer of its own, and no other
                destination follows.
            destinations: The agent's. One that it does not have any more is not tried.
        """
        if not records:
            return None
        last, by_name = records[-1], {each.name: each for each in destinations}
        first = last.get("first", len(records) - 1)
        if not isinstance(first, int) or not 0 <= first < len(records):
            first = len(records) - 1
        route = [by_name[name] for name in last.get("then", ()) if name in by_name]
        reason, summary = (str(last.get(key, "")) for key in ("reason", "summary"))
        call_id = str(last.get("call_id") or f"{OURS}transfer")
        attempts = cls(route, call_id, reason, summary, first)
        attempts.resumes = last.get("resumes") is not False
        attempts._attempts = [_attempt(each, by_name) for each in records[first:]]
        attempts._caller_gone = attempts.last.outcome == CALLER_GONE
        attempts.over = last.get("over") is True
        return attempts

    @property
    def first_number(self) -> int:
        """The number of the transfer's first attempt."""
        return self._first

    @property
    def last(self) -> Attempt:
        """The attempt that began last."""
        return self._attempts[-1]

    @property
    def number(self) -> int:
        """The number of the last attempt."""
        return self._first + len(self._attempts) - 1

    @property
    def attempts(self) -> Sequence[Attempt]:
        return self._attempts

    @property
    def pending(self) -> bool:
        """Whether the caller waits for a human, or talks with one."""
        return not self.last.outcome

    @property
    def over_for_good(self) -> bool:
        """Whether a human accepted, or the caller hung up: the agent does not resume."""
        return self._caller_gone or any(each.outcome == TAKEN for each in self._attempts)

    @property
    def upcoming(self) -> Destination | None:
        """The destination that `next` would dial; None: none is left."""
        return self._untried[0] if self._untried else None

    def next(self) -> Destination | None:
        """Begin the next attempt. Returns its destination; None: none is left."""
        if not self._untried:
            return None
        destination = self._untried.pop(0)
        self._attempts.append(Attempt(destination))
        return destination

    def attempt(self, number: int) -> Attempt | None:
        """The attempt of this number, if it is under way."""
        last = self._attempts[-1] if self._attempts else None
        return last if last is not None and number == self.number and not last.outcome else None

    def pressed(self, number: int, digits: str) -> bool:
        """The human answered the whisper with these keys. Returns whether they accept (1)."""
        attempt = self.attempt(number)
        if attempt is None or digits != "1":
            return False
        attempt.accepted = True
        return True

    def ended(
        self,
        number: int,
        status: str,
        *,
        bridged: bool | None = None,
        seconds: float | None = None,
    ) -> str:
        """The attempt ended (Twilio: `<Dial action>`).

        Args:
            status: DialCallStatus; completed also when the human did not accept.
            bridged: DialBridged; None: not sent.
            seconds: DialCallDuration.

        Returns:
            The outcome; empty: this attempt is not under way.
        """
        attempt = self.attempt(number)
        if attempt is None:
            return ""
        attempt.seconds = seconds
        answered = status in ("completed", "answered")
        talked = attempt.accepted if bridged is None else bridged
        if answered:
            attempt.outcome = TAKEN if talked else NOT_TAKEN
        else:
            attempt.outcome = status or FAILED
        return attempt.outcome

    def caller_gone(self) -> None:
        """The caller hung up: end the attempt that is under way."""
        last = self._attempts[-1] if self._attempts else None
        self._caller_gone = True
        self._untried.clear()
        if last is not None and not last.outcome:
            last.outcome = TAKEN if last.accepted else CALLER_GONE

    def in_words(self) -> str:
        """The tool's answer for the model when no human accepted."""
        outcomes = "; ".join(
            f"{each.destination.name}: {each.outcome} "
            f"({_IN_WORDS.get(each.outcome, _IN_WORDS[FAILED])})"
            for each in self._attempts
        )
        return f"Nobody took the call. {outcomes}. The caller is back with you."

    def records(self) -> list[Mapping[str, object]]:
        """The attempts as the call's record stores them."""
        return [
            {
                "destination": each.destination.name,
                "outcome": each.outcome or (TALKING if each.accepted else RINGING),
                "reason": self.reason,
                "summary": self.summary,
                "warm": each.destination.warm,
                "seconds": each.seconds,
                # What another process needs to go on:
                "call_id": self.call_id,
                "first": self._first,
                "then": [left.name for left in self._untried] if each is self.last else [],
                "resumes": self.resumes,
                "over": self.over,
                "callee_sid": each.callee_sid,
            }
            for each in self._attempts
        ]


def _attempt(record: Mapping[str, Any], by_name: Mapping[str, Destination]) -> Attempt:
    """An attempt from its record. `by_name`: the agent's destinations."""
    name, outcome = str(record.get("destination", "")), str(record.get("outcome", ""))
    warm, seconds = record.get("warm") is True, record.get("seconds")
    destination = by_name.get(name) or Destination(name, "", warm=warm)
    return Attempt(
        destination,
        accepted=outcome in (TALKING, TAKEN),
        outcome="" if outcome in (RINGING, TALKING) else outcome,
        seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        callee_sid=str(record.get("callee_sid", "")),
    )
