"""Responses: one in flight, the rest in a queue.

Only one response may write to the conversation at a time; asking for a second one is answered with
an error alone (OpenAI: conversation_already_has_active_response). And a response may be begun by
the model's own turn detection at any time, which serves whoever waited for a plain answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

RETRY_MS = 400.0  # doubled with each failure
TRIES = 4
MOST_STALLS = 2  # answers in a row that broke off amid their words
MOST_EMPTY = 2  # answers in a row without sound that are asked for again


class Wish(StrEnum):
    """What a response is wanted for."""

    GREETING = "greeting"
    REPLY = "reply"  # to the caller, or to a tool's answer
    HOLD = "hold"  # the caller waits for a tool
    NUDGE = "nudge"  # the caller says nothing
    WARNING = "warning"  # the longest call is near
    SAY = "say"  # words that somebody else chose
    UNSPOKEN = "unspoken"  # words that no voice of ours could say
    ANNOUNCEMENT = "announcement"  # of a transfer
    GOODBYE = "goodbye"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A response to ask for. `direction`: what it is to do; empty for a plain answer."""

    wish: Wish
    direction: str = ""


class Responses:
    """What the model is asked to say and what it is saying."""

    def __init__(self) -> None:
        self.active_id: str | None = None
        self.active: Wanted | None = None  # what the active one was asked for; None: not by us
        self.requested: Wanted | None = None
        self._event_id = ""
        self._unanswered = False  # a request was given up that may still be answered
        self._queue: list[Wanted] = []
        self._failures = 0
        self._not_before_ms = 0.0
        self._empty = 0
        self._stalls = 0
        self._known: set[str] = set()  # responses of this session, over or not
        self._answers_all = False  # whether the active one knew every tool's answer

    def want(self, wish: Wish, direction: str = "") -> None:
        """Ask for a response as soon as it can be had; once per wish, and per words to say."""
        wanted = Wanted(wish, direction)
        if wanted in self._queue:
            return
        if wish is Wish.UNSPOKEN:  # the end of what was begun comes first
            begun = sum(each.wish is Wish.UNSPOKEN for each in self._queue)
            self._queue.insert(begun, wanted)
        elif wish is Wish.SAY or all(each.wish is not wish for each in self._queue):
            self._queue.append(wanted)

    def unwant(self, *wishes: Wish) -> None:
        if self._queue:
            self._queue = [wanted for wanted in self._queue if wanted.wish not in wishes]

    def withdraw(self, wanted: Wanted) -> None:
        """These words are not wanted any more."""
        self._queue = [each for each in self._queue if each != wanted]

    def keep_only(self, wishes: Iterable[Wish]) -> None:
        """No response is wanted but for these."""
        if self._queue:
            self._queue = [wanted for wanted in self._queue if wanted.wish in wishes]

    @property
    def idle(self) -> bool:
        """Nothing is said, asked for or queued."""
        return not self.in_flight and not self._queue

    @property
    def in_flight(self) -> bool:
        return self.active_id is not None or self.requested is not None

    def pending(self, *wishes: Wish) -> bool:
        """Whether something of this is asked for, said, or waits to be asked for."""
        waiting = (self.requested, self.active, *self._queue)
        return any(wanted is not None and wanted.wish in wishes for wanted in waiting)

    @property
    def gave_up(self) -> bool:
        """Response after response failed, or had no sound."""
        tried = self._failures >= TRIES or self._stalls >= MOST_STALLS
        return tried or self._empty > MOST_EMPTY

    def expects(self, response_id: str) -> bool:
        """Whether this may be the response that was asked for, though nothing announced it."""
        return self.active_id is None and response_id not in self._known

    def next(self, now_ms: float) -> Wanted | None:
        """What to ask for now, if anything may be asked for."""
        if self.in_flight or not self._queue or self.gave_up or now_ms < self._not_before_ms:
            return None
        return self._queue[0]

    def next_ms(self) -> float:
        """When a response that failed may be asked for again."""
        return self._not_before_ms if self._queue and not self.in_flight else float("inf")

    def stalled(self) -> None:
        """The response in flight broke off, and never ended."""
        self._stalls += 1

    def give_up(self) -> None:
        """No other try can help."""
        self._failures = TRIES

    def asked(self, event_id: str) -> None:
        """The first of the queue was asked for under this event id."""
        self.requested = self._queue.pop(0)
        self._event_id = event_id

    def created(self, response_id: str, *, answers_all: bool) -> None:
        """A response began. Whether it is ours cannot be told for sure; if it is not, the refusal
        of ours follows. One that the caller's words brought about makes others needless, a plain
        reply only if it `answers_all`: if the model knew every tool's answer before it began."""
        self.active_id, self._answers_all = response_id, answers_all
        self._known.add(response_id)
        self.active, self.requested = self.requested, None
        if self.active is None:
            self.unwant(Wish.HOLD, Wish.NUDGE, Wish.GREETING)
            if answers_all:
                self.unwant(Wish.REPLY)

    def refused(self, event_id: str, now_ms: float, *, busy: bool) -> bool:
        """The request with this event id was refused. `busy`: another response was active, which
        only a request for a response is told, with its id or without. Returns whether there was
        such a request."""
        ours = event_id == self._event_id or (busy and not event_id)
        if not ours or not self._event_id:
            return False
        if busy and self._unanswered and self.requested is None:
            # The request that was given up was heard after all: what is active is its response.
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
        """A response ended. Returns what it was asked for. One that failed is asked for again, and
        so is one that owed sound and brought none (`empty`), until `gave_up`."""
        self._known.add(response_id)
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
        """The model made a sound or called a tool."""
        self._empty, self._unanswered = 0, False

    def abandon(self, now_ms: float) -> Wanted | None:
        """What is said and asked for is waited for no longer. Returns what that was."""
        was = self.requested or self.active
        if was is None and self.active_id is not None:
            was = Wanted(Wish.REPLY)
        self._unanswered = self.requested is not None
        self.active_id = self.active = self.requested = None
        self._event_id = ""
        self._not_before_ms = now_ms
        return was

    def lost(self, now_ms: float) -> Wanted | None:
        """The session is gone, and with it what was said and asked for. Returns what that was."""
        was = self.abandon(now_ms)
        self._known.clear()
        self._unanswered = False
        return was

    @property
    def _pause_ms(self) -> float:
        return RETRY_MS * float(2 ** max(0, self._failures - 1))

    def retry(self, wanted: Wanted, not_before_ms: float) -> None:
        """Ask for this before everything else, from `not_before_ms` on."""
        if wanted.wish in (Wish.SAY, Wish.UNSPOKEN):
            self.withdraw(wanted)
        else:
            self.unwant(wanted.wish)
        self._queue.insert(0, wanted)
        self._not_before_ms = not_before_ms
