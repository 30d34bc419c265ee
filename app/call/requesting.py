"""When the next response may be requested: one at a time, while the caller does nothing."""

from app.call.caller.floor import Floor
from app.call.commands import ReportDecision
from app.call.deadlines import NEVER
from app.call.exits.exits import Exits
from app.call.model.model import Model
from app.call.model.responses import Wish
from app.call.outbox import Outbox
from app.call.response_deadlines import ResponseDeadlines


class Requesting:
    """Requests what `Responses` has queued."""

    def __init__(
        self,
        outbox: Outbox[ReportDecision],
        model: Model,
        floor: Floor,
        exits: Exits,
        deadlines: ResponseDeadlines,
    ) -> None:
        self._outbox = outbox
        self._model = model
        self._floor = floor
        self._exits = exits
        self._deadlines = deadlines

    def request(self, now_ms: float) -> None:
        """Request the next response, if one may be requested now."""
        if not self._model.link.ready or self._floor.caller_acts or self._exits.hanging_up:
            return
        if self._floor.answer_by_ms != NEVER:
            return  # turn detection is about to request one
        responses = self._model.responses
        for dropped in responses.drop_disallowed():
            if dropped.wish is Wish.SAY:  # ordered from outside, so its end is reported
                why = "the agent is ending or transferring the call"
                self._outbox.put(ReportDecision("leave out what it was to say", why))
        wanted = responses.next(now_ms)
        if wanted is not None:
            responses.asked(self._model.requests.create_response(wanted.direction))
            self._deadlines.requested(now_ms)
