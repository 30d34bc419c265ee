"""Retries: a response that brings no sound, or none in time, is requested again.

First from the same session, then from a fresh one; then the call goes on without the model.
"""

from app.call.commands import ReportDecision
from app.call.events import ResponseDone
from app.call.model.first_sound import Stage
from app.call.model.model import Model
from app.call.model.responses import Wanted, Wish
from app.call.model_session import REPLACE_SESSION, ModelSession
from app.call.outbox import Outbox
from app.call.response_deadlines import ResponseDeadlines


class Retries:
    """Acts when a deadline of the response passes. Every retry is reported."""

    def __init__(
        self,
        outbox: Outbox[ReportDecision],
        deadlines: ResponseDeadlines,
        model: Model,
        session: ModelSession,
    ) -> None:
        self._outbox = outbox
        self._deadlines = deadlines
        self._clock = deadlines.clock
        self._responses = model.responses
        self._session = session

    def report_ended(self, event: ResponseDone, was: Wanted | None, *, empty: bool) -> None:
        """A response ended: report that it is requested again, if it is.

        Args:
            was: What it was requested for; None: turn detection requested it.
            empty: `ResponseDeadlines.is_empty`.
        """
        wish = was.wish if was else Wish.REPLY
        if empty:
            self._report("ask again", f"the {wish} ended {event.status} without sound")
        elif event.status == "failed":
            self._report("ask again", f"the {wish} failed: {event.reason}")

    def retry_overdue(self, now_ms: float, *, due: bool) -> bool:
        """Retry, if a deadline has passed.

        Args:
            due: Whether the caller waits for a response now. False while the caller acts.

        Returns:
            True when the caller should hear the hold tone meanwhile.
        """
        if not due:
            self._clock.stop()
        elif now_ms >= self._clock.due_ms:
            return self._escalate(now_ms)
        elif now_ms >= self._deadlines.stalled_ms():
            self._replace_session("the answer stopped coming", now_ms)
        return False

    def _escalate(self, now_ms: float) -> bool:
        stage = self._clock.next_stage(now_ms)
        reason = f"no sound of an answer within {self._clock.limit_ms / 1000:g} s"
        if stage is Stage.SECOND_TRY:
            self._report("ask again", reason)
            self._retry(self._session.abandon_response(now_ms), now_ms)
            return True
        was = self._session.abandon_response(now_ms)
        if stage is Stage.FRESH_SESSION:
            self._replace_session(f"{reason}, nor of the second try", now_ms)
            self._retry(was, now_ms)
        else:
            self._responses.give_up()
        return False

    def _retry(self, was: Wanted | None, now_ms: float) -> None:
        if was is not None:
            self._responses.retry(was, now_ms)

    def _replace_session(self, reason: str, now_ms: float) -> None:
        self._report(REPLACE_SESSION, reason)
        was = self._responses.active
        self._responses.stalled()
        self._session.lost(reason, now_ms, fatal=False)
        if was is not None and was.wish is Wish.NUDGE:  # a nudge that has begun is owed
            self._retry(was, now_ms)

    def _report(self, decision: str, reason: str) -> None:
        self._outbox.put(ReportDecision(decision, reason))
