"""The order to Twilio to go on with other TwiML: it takes the stream away, and the call goes on."""

from collections.abc import Callable

from app.call.commands import Command, PlayDigits, TransferCall
from app.call.deadlines import NEVER

ORDER_MS = 45_000.0  # for the order to be answered, retries included
STOP_MS = 700.0  # from its being taken to the end of the stream
UNANSWERED = "Twilio did not answer"

Failed = Callable[[str, float], None]


class Redirect:
    """At most one at a time. From the order on, the stream's end is not the call's."""

    def __init__(self, out: list[Command]) -> None:
        self._out = out
        self._failed: Failed | None = None
        self._ordered_ms = NEVER
        self._taken_ms = NEVER
        self._unanswered = ""  # the reason of an order whose answer may still come
        self.reason = ""  # what the stream ends for

    @property
    def ordered(self) -> bool:
        return self._ordered_ms != NEVER

    def order(
        self, command: TransferCall | PlayDigits, reason: str, failed: Failed, now_ms: float
    ) -> None:
        """`failed(why, now_ms)` is told when the call stays as it is."""
        self._ordered_ms, self.reason, self._failed = now_ms, reason, failed
        self._unanswered = ""
        self._out.append(command)

    def taken(self, now_ms: float) -> None:
        """Twilio took the order. Too late to be waited for, it still ends the stream."""
        if not self.ordered and self._unanswered:
            self._ordered_ms, self.reason = now_ms, self._unanswered
        if self.ordered:
            self._taken_ms = min(self._taken_ms, now_ms)

    def refused(self, why: str, now_ms: float) -> None:
        """Twilio did not take it, retries included."""
        failed, self._failed = self._failed, None
        if failed is not None and self._taken_ms == NEVER:
            self._ordered_ms, self.reason = NEVER, ""
            failed(why, now_ms)

    def settle(self, now_ms: float) -> bool:
        """Returns True when the stream should have ended by now and did not."""
        if self._taken_ms != NEVER:
            return now_ms >= self._taken_ms + STOP_MS
        if now_ms >= self._ordered_ms + ORDER_MS:
            self._unanswered = self.reason
            self.refused(UNANSWERED, now_ms)
        return False

    def next_ms(self) -> float:
        return min(self._taken_ms + STOP_MS, self._ordered_ms + ORDER_MS)
