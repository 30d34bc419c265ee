"""Three clocks of a call: the caller is idle, the caller is on hold, the longest call."""

from app.call.agent import Limits
from app.call.deadlines import NEVER

#: How long the model has to say that it is still working on it, before the hold tone sounds.
HOLD_SPEECH_MS = 1200.0


class IdleClock:
    """The caller is silent. Runs only while the agent listens, and counts the idle prompts.

    When `due_ms` has passed, call `fire`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limit_ms = float(limits.idle_ms) or NEVER
        self._most_nudges = limits.idle_nudges
        self._since_ms: float | None = None
        #: When to call `fire`; NEVER while the clock is stopped.
        self.due_ms = NEVER
        self.nudges = 0

    def run(self, from_ms: float) -> None:
        """The agent listens from `from_ms` on; without effect on a clock that runs."""
        if self._since_ms is None:
            self._since_ms = from_ms
            self.due_ms = from_ms + self._limit_ms

    def stop(self) -> None:
        self._since_ms, self.due_ms = None, NEVER

    def caller_spoke(self) -> None:
        self.nudges = 0
        self.stop()

    def fire(self) -> bool:
        """True: ask the caller whether they are still there; False: the prompts are used up. Stops
        the clock."""
        self.stop()
        self.nudges += 1
        return self.nudges <= self._most_nudges


class HoldClock:
    """The caller waits and hears nothing. First the model may say that it is still working on it;
    if it does not, the hold tone sounds.

    When `due_ms` has passed, call `fire`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limit_ms = float(limits.hold_ms)
        self._since_ms: float | None = None
        self._asked_model = False
        #: When to call `fire`; NEVER while the clock is stopped.
        self.due_ms = NEVER

    def run(self, now_ms: float, heard_until_ms: float) -> None:
        """The caller waits. `heard_until_ms`: when the last audio ends or ended."""
        since_ms = now_ms if self._since_ms is None else self._since_ms
        from_ms = max(since_ms, heard_until_ms)
        if from_ms != since_ms:
            self._asked_model = False
        self._count_from(from_ms)

    def _count_from(self, since_ms: float) -> None:
        self._since_ms = since_ms
        self.due_ms = since_ms + self._limit_ms - (0 if self._asked_model else HOLD_SPEECH_MS)

    def stop(self) -> None:
        self._since_ms, self.due_ms = None, NEVER
        self._asked_model = False

    def fire(self, *, model_can_speak: bool) -> bool:
        """True: play the hold tone now; False: have the model say something."""
        if model_can_speak and not self._asked_model and self._since_ms is not None:
            self._asked_model = True
            self._count_from(self._since_ms)
            return False
        return True


class CallLength:
    """The longest call: a warning before it, a goodbye at its end."""

    def __init__(self, limits: Limits) -> None:
        self._longest_ms = float(limits.longest_call_ms) or NEVER
        self._warning_ms = float(limits.warning_ms)
        #: When to give the warning, and call `warned`.
        self.warning_due_ms = NEVER
        #: When to begin the goodbye, and call `ended`.
        self.end_due_ms = NEVER
        self._warned = self._ended = False

    def start(self, now_ms: float) -> None:
        """The call begins."""
        end_ms = now_ms + self._longest_ms
        self.end_due_ms = NEVER if self._ended else end_ms
        self.warning_due_ms = NEVER if self._warned else end_ms - self._warning_ms

    def warned(self) -> None:
        """The warning is given."""
        self._warned, self.warning_due_ms = True, NEVER

    def ended(self) -> None:
        """The goodbye has begun."""
        self._ended, self.end_due_ms = True, NEVER
