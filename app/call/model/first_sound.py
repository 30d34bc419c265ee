"""The deadline for the first sound of an answer, and what to try when it is missed.

`ResponseCreated` alone does not count as an answer: some models begin one and send nothing more.
Audio counts, text for an external voice, and a tool call.
"""

from enum import IntEnum

from app.call.deadlines import NEVER

SECOND_TRY_MS = 3000.0
LEAST_MS = 2000.0  # the last request always gets at least this
OPENING_MS = 1000.0  # added to the usual limit when a new session has to be opened
CARRIED_MS = 2000.0  # a wait of this length counts on, even when the caller speaks during it
LEFT_MS = 1000.0  # ... and leaves the next answer at least this


class Stage(IntEnum):
    """How far the attempts to get an answer have come."""

    ASKED = 0
    SECOND_TRY = 1  # the response was requested again
    FRESH_SESSION = 2  # and again, from a new session
    HELP = 3  # the call goes on without the model


class FirstSound:
    """The clock of one answer.

    Call `start` when an answer is due, `requested` when it is requested, `stop` when it is not due
    any more, `heard` when the caller hears it. When `due_ms` has come, call `next_stage` and act on
    the stage that it returns.
    """

    def __init__(self, limit_ms: float) -> None:
        #: `[limits] first_sound_seconds`, in ms.
        self.limit_ms = limit_ms
        self._spans_ms = (limit_ms, SECOND_TRY_MS, limit_ms + OPENING_MS)
        self._since_ms = NEVER
        self._carried_ms = 0.0
        #: The stage that the present answer has reached.
        self.stage = Stage.ASKED
        #: When the present stage ends; `NEVER` while no answer is due.
        self.due_ms = NEVER

    @property
    def running(self) -> bool:
        """Whether an answer is due."""
        return self._since_ms != NEVER

    def start(self, now_ms: float) -> None:
        """An answer is due. On a clock that runs: it gets at least `LEAST_MS` from now."""
        if self.running:
            self.due_ms = max(self.due_ms, now_ms + LEAST_MS)
        elif self.stage is not Stage.HELP:
            self._since_ms = now_ms
            self.due_ms = now_ms + self._spans_ms[self.stage] - self._carried_ms

    def requested(self, now_ms: float) -> None:
        """The answer was requested, perhaps again: it gets at least `LEAST_MS` from now."""
        self.start(now_ms)
        if self.running:
            self.due_ms = max(self.due_ms, now_ms + LEAST_MS)

    def stop(self) -> None:
        """The answer is not due any more, or the model has begun it. The stage stays: only `heard`
        proves that the model answers."""
        self._since_ms = self.due_ms = NEVER

    def caller_spoke(self, now_ms: float) -> None:
        """The caller spoke while waiting. After `CARRIED_MS` the time spent counts towards the next
        answer, so that a caller who asks "hello?" does not restart the clock."""
        if self.running and now_ms - self._since_ms >= CARRIED_MS:
            left_ms = max(0.0, self.due_ms - now_ms)
            self._carried_ms = max(0.0, self._spans_ms[self.stage] - max(left_ms, LEFT_MS))
        self.stop()

    def heard(self) -> None:
        """The caller hears the answer, or it called a tool."""
        self.stop()
        self._carried_ms = 0.0
        if self.stage is not Stage.HELP:
            self.stage = Stage.ASKED

    def next_stage(self, now_ms: float) -> Stage:
        """The deadline has passed. Returns the stage to carry out now."""
        self._carried_ms = 0.0
        self.stage = Stage(self.stage + 1)
        if self.stage is Stage.HELP:
            self.stop()
        else:
            self._since_ms, self.due_ms = now_ms, now_ms + self._spans_ms[self.stage]
        return self.stage
