"""How long the caller waits for the first sound of an answer, and what is tried meanwhile.

`response.created` alone is no sign of an answer: servers say it and then nothing more. What counts
is audio, text for an external voice, or a tool call.
"""

from enum import IntEnum

from app.call.deadlines import NEVER

SECOND_TRY_MS = 3000.0
LEAST_MS = 2000.0  # for each try
OPENING_MS = 1000.0  # for a fresh session, on top of the usual limit
CARRIED_MS = 2000.0  # a wait this long counts, though the caller spoke into it


class Stage(IntEnum):
    """What was done for the answer that is waited for."""

    ASKED = 0
    SECOND_TRY = 1  # it was asked for again
    FRESH_SESSION = 2  # and again, of another session
    HELP = 3  # the model is done without


class FirstSound:
    """The clock of one answer. `limit_ms`: `[limits] first_sound_seconds`.

    Call `start` when an answer is due, `stop` when it is not due any more, `heard` when the caller
    hears it. When `due_ms` has come, call `next_stage` and do what it says.
    """

    def __init__(self, limit_ms: float) -> None:
        self._spans_ms = (limit_ms, SECOND_TRY_MS, limit_ms + OPENING_MS)
        self._since_ms = NEVER
        self._carried_ms = 0.0
        self.stage = Stage.ASKED
        self.due_ms = NEVER

    @property
    def running(self) -> bool:
        """Whether an answer is waited for."""
        return self._since_ms != NEVER

    def start(self, now_ms: float) -> None:
        """An answer is due, or was asked for again: the last try has some time in any case."""
        if self.running:
            self.due_ms = max(self.due_ms, now_ms + LEAST_MS)
        if self.running or self.stage is Stage.HELP:
            return
        self._since_ms = now_ms
        self.due_ms = now_ms + self._spans_ms[self.stage] - self._carried_ms

    def stop(self) -> None:
        """The answer is not due any more, or the model is at it. The next one goes on from the
        stage reached: only `heard` proves that the model answers."""
        self._since_ms = self.due_ms = NEVER

    def caller_spoke(self, now_ms: float) -> None:
        """The caller spoke into the wait. A caller who asks "hello?" does not start it anew."""
        if self.running and now_ms - self._since_ms >= CARRIED_MS:
            left_ms = max(0.0, self.due_ms - now_ms)
            self._carried_ms = max(0.0, self._spans_ms[self.stage] - max(left_ms, 1000.0))
        self.stop()

    def heard(self) -> None:
        """The caller hears the answer, or a tool works on it."""
        self.stop()
        self._carried_ms = 0.0
        if self.stage is not Stage.HELP:
            self.stage = Stage.ASKED

    def next_stage(self, now_ms: float) -> Stage:
        """The time is over: what to do now."""
        self._carried_ms = 0.0
        self.stage = Stage(self.stage + 1)
        if self.stage is Stage.HELP:
            self.stop()
        else:
            self._since_ms, self.due_ms = now_ms, now_ms + self._spans_ms[self.stage]
        return self.stage
