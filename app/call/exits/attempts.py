"""After the order to hand the caller over: who is rung, one after the other, and what became of it.

Pure, like the machine, and alive between two legs of a call: told of what Twilio reports, it says
who is next. Twilio may report twice, and late.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.call.destinations import Destination

TAKEN = "completed"
NOT_TAKEN = "not-accepted"
CALLER_GONE = "canceled"
FAILED = "failed"
RINGING = "ringing"
TALKING = "in-progress"

_IN_WORDS = {
    "busy": "the line was busy",
    "no-answer": "nobody answered",
    NOT_TAKEN: "somebody or an answering machine picked up, but did not take the call",
    FAILED: "the call did not go through",
}


@dataclass(slots=True)
class Attempt:
    """One destination rung. `outcome`: TAKEN, NOT_TAKEN, CALLER_GONE, FAILED or Twilio's busy or
    no-answer; empty while it is under way. `accepted`: the human pressed 1. `seconds`: how long
    they were on the line, None while nobody says."""

    destination: Destination
    accepted: bool = False
    outcome: str = ""
    seconds: float | None = None


class TransferAttempts:
    """`route`: whom to try, in this order. `call_id`: the tool call that asked for it. `summary`:
    what the human is told. `numbered_from`: how many attempts there were on this call before; each
    attempt is known to Twilio by its number."""

    def __init__(
        self,
        route: Sequence[Destination],
        call_id: str,
        reason: str = "",
        summary: str = "",
        numbered_from: int = 0,
    ) -> None:
        self.call_id = call_id
        self.reason = reason
        self.summary = summary
        self._left = list(route)
        self._first = numbered_from
        self._attempts: list[Attempt] = []
        self._gone = False

    @property
    def number(self) -> int:
        """The number of the last attempt."""
        return self._first + len(self._attempts) - 1

    @property
    def attempts(self) -> Sequence[Attempt]:
        return self._attempts

    @property
    def over_for_good(self) -> bool:
        """Whether a human took the call, or the caller is gone."""
        return self._gone or any(each.outcome == TAKEN for each in self._attempts)

    @property
    def upcoming(self) -> Destination | None:
        """Who would be rung next."""
        return self._left[0] if self._left else None

    def next(self) -> Destination | None:
        """Ring the next one; None when nobody is left."""
        if not self._left:
            return None
        destination = self._left.pop(0)
        self._attempts.append(Attempt(destination))
        return destination

    def attempt(self, number: int) -> Attempt | None:
        """The attempt of this number, while it is under way."""
        last = self._attempts[-1] if self._attempts else None
        return last if last is not None and number == self.number and not last.outcome else None

    def pressed(self, number: int, digits: str) -> bool:
        """The human pressed these keys when asked. Returns whether they take the call."""
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
        """The dial ended. `status`: Twilio's DialCallStatus, which says completed of a human who
        refused too; `bridged`: Twilio's DialBridged, None when it does not say; `seconds`: its
        DialCallDuration. Returns the outcome, or nothing for an attempt that is not under way."""
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
        """The caller hung up: what is under way is over."""
        last = self._attempts[-1] if self._attempts else None
        self._gone = True
        self._left.clear()
        if last is not None and not last.outcome:
            last.outcome = TAKEN if last.accepted else CALLER_GONE

    def in_words(self) -> str:
        """What the model is told when nobody took the call."""
        told = "; ".join(
            f"{each.destination.name}: {each.outcome} "
            f"({_IN_WORDS.get(each.outcome, _IN_WORDS[FAILED])})"
            for each in self._attempts
        )
        return f"Nobody took the call. {told}. The caller is back with you."

    def records(self) -> list[Mapping[str, object]]:
        """The attempts as the call's record tells them."""
        return [
            {
                "destination": each.destination.name,
                "outcome": each.outcome or (TALKING if each.accepted else RINGING),
                "reason": self.reason,
                "summary": self.summary,
                "warm": each.destination.warm,
                "seconds": each.seconds,
            }
            for each in self._attempts
        ]
