"""Responses: one in flight, the rest in a queue.

Only one response at a time may write to the conversation: the model refuses a second request as
busy. Turn detection may begin a response at any time; it then also serves requests that wait for a
plain reply.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from app.call.backoff import backoff

RETRY_MS = 400.0  # doubled with each failure
TRIES = 4
MOST_STALLS = 2  # stalled responses in a row before the model is given up
MOST_EMPTY = 2  # responses without sound, in a row, that are retried
#: Why the model is given up, if `Responses.give_up` gives no other reason.
NOTHING_HEARD = "the model answers nothing that can be heard"


class Wish(StrEnum):
    """What a response is for."""

    GREETING = "greeting"
    REPLY = "reply"  # to the caller, or to a tool's output
    HOLD = "hold"  # the caller waits for a tool
    NUDGE = "nudge"  # the caller is silent
    WARNING = "warning"  # the call is close to its longest duration
    SAY = "say"  # a text given from outside the conversation
    UNSPOKEN = "unspoken"  # a text that every external voice failed to speak
    ANNOUNCEMENT = "announcement"  # of a transfer
    GOODBYE = "goodbye"


#: Requested again when a barge-in interrupts it.
REPEATED = (Wish.WARNING, Wish.ANNOUNCEMENT, Wish.GOODBYE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A response to request."""

    wish: Wish
    #: The instructions for this response alone; empty for a plain reply.
    direction: str = ""


class Responses:
    """The queue of responses to request, and the state of the one in flight.

    When `next` returns a response, send `CreateResponse` and call `asked`. Report what the model
    makes of it: `created`, `refused`, `done`, or `abandon` and `lost` when it does not answer.
    """

    def __init__(self) -> None:
        #: The id of the response that the model is generating.
        self.active_id: str | None = None
        #: What the active response was requested for; None if turn detection began it.
        self.active: Wanted | None = None
        #: Why the model is given up when it `gave_up`.
        self.failure = NOTHING_HEARD
        #: What was requested and not created yet.
        self.requested: Wanted | None = None
        self._event_id = ""
        self._unanswered = False  # an abandoned request may still be answered
        self._queue: list[Wanted] = []
        self._allowed: Collection[Wish] = tuple(Wish)
        self._failures = 0
        self._not_before_ms = 0.0
        self._empty = 0
        self._stalls = 0
        # Ids of this session's responses, ended ones included. A set takes twice the memory.
        self._known: dict[str, None] = {}
        self._abandoned: dict[str, None] = {}
        self._answers_all = False  # whether the active one was created with every tool output known

    def want(self, wish: Wish, direction: str = "") -> None:
        """Queue a response. A wish is queued once; `SAY` and `UNSPOKEN` once per text."""
        wanted = Wanted(wish, direction)
        if wanted in self._queue:
            return
        if wish is Wish.UNSPOKEN:  # first, because it completes what the caller is hearing
            begun = sum(each.wish is Wish.UNSPOKEN for each in self._queue)
            self._queue.insert(begun, wanted)
        elif wish is Wish.SAY or all(each.wish is not wish for each in self._queue):
            self._queue.append(wanted)

    def unwant(self, *wishes: Wish) -> None:
        """Remove these wishes from the queue."""
        if self._queue:
            self._queue = [wanted for wanted in self._queue if wanted.wish not in wishes]

    def withdraw(self, wanted: Wanted) -> None:
        """Remove this one from the queue: the same wish with the same direction."""
        self._queue = [each for each in self._queue if each != wanted]

    def drop_direction(self, wish: Wish) -> None:
        """Request a plain answer where this wish is queued with a direction."""
        self._queue = [Wanted(wish) if each.wish is wish else each for each in self._queue]

    def allow(self, wishes: Collection[Wish]) -> None:
        """From now on request these wishes only: an exit is under way, or none is any more."""
        self._allowed = wishes

    def allows(self, wish: Wish) -> bool:
        """Whether this wish would be requested now."""
        return wish in self._allowed

    def drop_disallowed(self) -> list[Wanted]:
        """Remove the wishes from the queue that are not allowed now, and return them."""
        if not self._queue:
            return []
        dropped = [wanted for wanted in self._queue if wanted.wish not in self._allowed]
        if dropped:
            self._queue = [wanted for wanted in self._queue if wanted.wish in self._allowed]
        return dropped

    @property
    def nothing_queued(self) -> bool:
        """Whether no response waits to be requested."""
        return not self._queue

    @property
    def idle(self) -> bool:
        """Whether no response is active, requested or queued."""
        return not self.in_flight and not self._queue

    @property
    def in_flight(self) -> bool:
        """Whether a response is active or requested."""
        return self.active_id is not None or self.requested is not None

    @property
    def request_id(self) -> str:
        """The id of the `CreateResponse` that the model has not answered yet; empty: none."""
        return self._event_id if self.requested is not None else ""

    def pending(self, *wishes: Wish) -> bool:
        """Whether a response for one of these is active, requested or queued."""
        waiting = (self.requested, self.active, *self._queue)
        return any(wanted is not None and wanted.wish in wishes for wanted in waiting)

    def queued(self, wanted: Wanted) -> bool:
        """Whether this one waits in the queue: the same wish with the same direction."""
        return wanted in self._queue

    def waits(self, wanted: Wanted) -> bool:
        """Whether this one is active, requested or queued."""
        return wanted in (self.requested, self.active, *self._queue)

    @property
    def gave_up(self) -> bool:
        """Whether so many responses failed, stalled or were empty that no retry follows."""
        tried = self._failures >= TRIES or self._stalls >= MOST_STALLS
        return tried or self._empty > MOST_EMPTY

    def expects(self, response_id: str) -> bool:
        """Whether this may be the requested response: none is active, and this id is new. For
        models that send no `ResponseCreated`."""
        return self.active_id is None and response_id not in self._known

    def next(self, now_ms: float) -> Wanted | None:
        """The response to request now, or None. When it is requested, call `asked`."""
        if not self._queue or self.in_flight or self.gave_up or now_ms < self._not_before_ms:
            return None
        return self._queue[0]

    def next_ms(self) -> float:
        """When `next` may return something again after a pause."""
        return self._not_before_ms if self._queue and not self.in_flight else float("inf")

    def stalled(self) -> None:
        """The response in flight stopped coming and has no end."""
        self._stalls += 1

    def give_up(self, why: str = NOTHING_HEARD) -> None:
        """Request nothing more: no retry can help. `why`: for the record and the log."""
        self._failures, self.failure = TRIES, why

    def asked(self, event_id: str) -> None:
        """The first response of the queue was requested, by a `CreateResponse` of this id."""
        self.requested = self._queue.pop(0)
        self._event_id = event_id

    def created(self, response_id: str, *, answers_all: bool) -> None:
        """A response began.

        It counts as the requested one if there is one. If turn detection began it instead, the
        request's refusal follows (`refused`). A response that turn detection began removes the
        greeting, the hold and the nudge from the queue, and a plain reply if it `answers_all`: if
        the server knew every tool output when it created the response.
        """
        self.active_id, self._answers_all = response_id, answers_all
        self._known[response_id] = None
        self.active, self.requested = self.requested, None
        if self.active is None:
            self.unwant(Wish.HOLD, Wish.NUDGE, Wish.GREETING)
            if answers_all:
                self.unwant(Wish.REPLY)

    def refused(self, event_id: str, now_ms: float, *, busy: bool) -> bool:
        """The model refused the command of this id. Returns whether that was our `CreateResponse`;
        if so, it is queued again unless the active response serves it.

        `busy`: it was refused because another response is active. Only a `CreateResponse` gets
        that, so it counts without an `event_id` as well.
        """
        ours = event_id == self._event_id or (busy and not event_id)
        if not ours or not self._event_id:
            return False
        if busy and self._unanswered and self.requested is None:
            # The server did receive the abandoned request: the active response is its answer.
            self._event_id, self._unanswered = "", False
            return True
        refused, served = self.requested, False
        if refused is None:
            refused, self.active = self.active, None
            served = refused is not None and refused.wish is Wish.REPLY and self._answers_all
        self.requested, self._event_id = None, ""
        if refused is not None:
            if not busy:
                self._failures += 1
            needless = served or refused.wish in (Wish.HOLD, Wish.NUDGE, Wish.GREETING)
            if not (busy and needless):
                self.retry(refused, now_ms + self._pause_ms)
        return True

    def done(
        self, response_id: str, now_ms: float, *, failed: bool = False, empty: bool = False
    ) -> Wanted | None:
        """A response ended. Returns what it was requested for.

        A failed one is queued again, and so is one without sound (`empty`), until `gave_up`.
        """
        self._known[response_id] = None
        if response_id != self.active_id:
            return None
        was, self.active_id, self.active = self.active, None, None
        if failed:
            self._failures += 1
            self.retry(was or Wanted(Wish.REPLY), now_ms + self._pause_ms)
        elif empty:
            self._empty += 1
            self.retry(was or Wanted(Wish.REPLY), now_ms + (RETRY_MS if self._empty > 1 else 0))
        else:
            self._failures = self._stalls = 0
        return was

    def sounded(self) -> None:
        """The caller hears a response, or it called a tool: it is not empty."""
        self._empty, self._unanswered = 0, False

    def abandon(self, now_ms: float) -> Wanted | None:
        """Stop waiting for the response in flight. Returns what it is for; to request it again,
        call `retry`."""
        was = self.requested or self.active
        if was is None and self.active_id is not None:
            was = Wanted(Wish.REPLY)
        self._unanswered = self.requested is not None
        if self.active_id is not None:
            self._abandoned[self.active_id] = None
        self.active_id = self.active = self.requested = None
        self._event_id = ""
        self._not_before_ms = now_ms
        return was

    def is_abandoned(self, response_id: str) -> bool:
        """Whether this response was abandoned: ignore what still comes of it."""
        return response_id in self._abandoned

    def lost(self, now_ms: float) -> Wanted | None:
        """The session is lost, and the response in flight with it. Returns what it was for; the
        queue stays."""
        was = self.abandon(now_ms)
        self._known.clear()
        self._abandoned.clear()
        self._unanswered = False
        return was

    @property
    def _pause_ms(self) -> float:
        return backoff(RETRY_MS, self._failures)

    def retry(self, wanted: Wanted, not_before_ms: float) -> None:
        """Queue this response before all others, and request nothing before `not_before_ms`."""
        if wanted.wish in (Wish.SAY, Wish.UNSPOKEN):
            self.withdraw(wanted)
        else:
            self.unwant(wanted.wish)
        self._queue.insert(0, wanted)
        self._not_before_ms = not_before_ms
