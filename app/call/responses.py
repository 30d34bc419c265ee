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
STALLED_MS = 30_000.0  # for a response of which nothing comes


class Wish(StrEnum):
    """What a response is wanted for."""

    GREETING = "greeting"
    REPLY = "reply"  # to the caller, or to a tool's answer
    HOLD = "hold"  # the caller waits for a tool
    NUDGE = "nudge"  # the caller says nothing
    WARNING = "warning"  # the longest call is near
    SAY = "say"  # words that somebody else chose
    REST = "rest"  # words that no voice of ours could say
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
        self._queue: list[Wanted] = []
        self._failures = 0
        self._not_before_ms = 0.0
        self._moved_ms = 0.0  # when something was last seen of the one in flight
        self._answers_all = False  # whether the active one knew every tool's answer

    def want(self, wish: Wish, direction: str = "") -> None:
        """Ask for a response as soon as it can be had; once per wish, and per words to say."""
        wanted = Wanted(wish, direction)
        if wanted in self._queue:
            return
        if wish is Wish.REST:  # the end of what was begun comes first
            begun = sum(each.wish is Wish.REST for each in self._queue)
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

    @property
    def gave_up(self) -> bool:
        """Response after response failed."""
        return self._failures >= TRIES

    def next(self, now_ms: float) -> Wanted | None:
        """What to ask for now, if anything may be asked for."""
        if self.in_flight or not self._queue or now_ms < self._not_before_ms:
            return None
        return self._queue[0]

    def next_ms(self) -> float:
        """When a response that failed may be asked for again, or the one in flight is given up."""
        if self.in_flight:
            return self._moved_ms + STALLED_MS
        return self._not_before_ms if self._queue else float("inf")

    def moved(self, now_ms: float) -> None:
        """Something came of the response in flight."""
        self._moved_ms = now_ms

    def is_stalled(self, now_ms: float) -> bool:
        """Nothing came for long: its session is as good as lost."""
        return self.in_flight and now_ms >= self._moved_ms + STALLED_MS

    def stalled(self) -> None:
        self._failures += 1

    def asked(self, event_id: str, now_ms: float) -> None:
        """The first of the queue was asked for under this event id."""
        self.requested = self._queue.pop(0)
        self._moved_ms = now_ms
        self._event_id = event_id

    def created(self, response_id: str, *, answers_all: bool) -> None:
        """A response began. Whether it is ours cannot be told for sure; if it is not, the refusal
        of ours follows. One that the caller's words brought about makes others needless, a plain
        reply only if it `answers_all`: if the model knew every tool's answer before it began."""
        self.active_id, self._answers_all = response_id, answers_all
        self.active, self.requested = self.requested, None
        if self.active is None:
            self.unwant(Wish.HOLD, Wish.NUDGE, Wish.GREETING)
            if answers_all:
                self.unwant(Wish.REPLY)

    def refused(self, event_id: str, now_ms: float, *, busy: bool) -> bool:
        """The request with this event id was refused. `busy`: another response was active. Returns
        whether there was such a request."""
        if not event_id or event_id != self._event_id:
            return False
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
                self._again(refused, now_ms)
        return True

    def done(self, response_id: str, now_ms: float, *, failed: bool) -> Wanted | None:
        """A response ended. Returns what it was asked for. A failed one is asked for again."""
        if response_id != self.active_id:
            return None
        was, self.active_id, self.active = self.active, None, None
        if failed:
            self._failures += 1
            self._again(was or Wanted(Wish.REPLY), now_ms)
        else:
            self._failures = 0
        return was

    def lost(self, now_ms: float) -> Wanted | None:
        """The session is gone, and with it what was said and asked for. Returns what that was."""
        was = self.requested or self.active
        if was is None and self.active_id is not None:
            was = Wanted(Wish.REPLY)
        self.active_id = self.active = self.requested = None
        self._event_id = ""
        self._not_before_ms = now_ms
        return was

    def _again(self, wanted: Wanted, now_ms: float) -> None:
        if wanted.wish in (Wish.SAY, Wish.REST):
            self.withdraw(wanted)
        else:
            self.unwant(wanted.wish)
        self._queue.insert(0, wanted)
        self._not_before_ms = now_ms + RETRY_MS * 2 ** max(0, self._failures - 1)
