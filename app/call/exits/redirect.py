"""A redirect of the live call to other TwiML over REST: the stream ends, the call goes on."""

from collections.abc import Callable

from app.call.commands import Command, PlayDigits, TransferCall
from app.call.deadlines import NEVER
from app.call.outbox import Outbox

#: Deadline for Twilio's answer, retries included.
ORDER_MS = 45_000.0
#: Deadline for the stream to end once Twilio accepted the redirect.
STOP_MS = 700.0
UNANSWERED = "Twilio did not answer"

#: Called with why the redirect failed, and `now_ms`.
Failed = Callable[[str, float], None]


class Redirect:
    """At most one redirect at a time. Once it is ordered, the end of the stream does not end the
    call."""

    def __init__(self, outbox: Outbox[Command]) -> None:
        self._outbox = outbox
        self._failed: Failed | None = None
        self._ordered_ms = NEVER
        self._taken_ms = NEVER
        self._unanswered = ""  # reason of an expired order, whose answer may still come
        #: What the stream ends for: transfer or send_digits; empty: no redirect is ordered.
        self.reason = ""

    @property
    def ordered(self) -> bool:
        return self._ordered_ms != NEVER

    def order(
        self, command: TransferCall | PlayDigits, reason: str, failed: Failed, now_ms: float
    ) -> None:
        """Order a redirect.

        Args:
            command: What to redirect to.
            reason: What the stream ends for.
            failed: Called if the redirect fails: the stream and the call go on as they are.
        """
        self._ordered_ms, self.reason, self._failed = now_ms, reason, failed
        self._unanswered = ""
        self._outbox.put(command)

    def accepted(self, now_ms: float) -> None:
        """Twilio accepted the redirect. It ends the stream, even past the deadline of the order."""
        if not self.ordered and self._unanswered:
            self._ordered_ms, self.reason = now_ms, self._unanswered
        if self.ordered:
            self._taken_ms = min(self._taken_ms, now_ms)

    def failed(self, why: str, now_ms: float) -> None:
        """The redirect failed, and its retries are used up."""
        failed, self._failed = self._failed, None
        if failed is not None and self._taken_ms == NEVER:
            self._ordered_ms, self.reason = NEVER, ""
            failed(why, now_ms)

    def settle(self, now_ms: float) -> bool:
        """Let the order expire, if it is due. Returns True when the stream should have ended by
        now: end the leg."""
        if self._taken_ms != NEVER:
            return now_ms >= self._taken_ms + STOP_MS
        if now_ms >= self._ordered_ms + ORDER_MS:
            self._unanswered = self.reason
            self.failed(UNANSWERED, now_ms)
        return False

    def next_ms(self) -> float:
        return min(self._taken_ms + STOP_MS, self._ordered_ms + ORDER_MS)
