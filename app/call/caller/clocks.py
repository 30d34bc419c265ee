"""How long a caller is left alone: the idle clock, the hold clock, and the longest call."""

from app.call.agent import Limits
from app.call.deadlines import NEVER, next_after

HOLD_SPEECH_MS = 1200.0  # how long the model gets to say that it is still at it, before a tone does


class IdleClock:
    """Runs only while the agent listens; counts how often it asked whether anybody is there."""

    def __init__(self, limits: Limits) -> None:
        self._limit_ms = float(limits.idle_ms) or NEVER
        self._most_nudges = limits.idle_nudges
        self._since_ms: float | None = None
        self.nudges = 0

    def run(self, from_ms: float) -> None:
        """The agent listens, from `from_ms` on."""
        if self._since_ms is None:
            self._since_ms = from_ms

    def stop(self) -> None:
        self._since_ms = None

    def caller_spoke(self) -> None:
        self.nudges = 0
        self.stop()

    @property
    def due_ms(self) -> float:
        return NEVER if self._since_ms is None else self._since_ms + self._limit_ms

    def fire(self) -> bool:
        """Time to ask: True; asked often enough: False. Starts afresh."""
        self.stop()
        self.nudges += 1
        return self.nudges <= self._most_nudges


class HoldClock:
    """Runs while the caller waits and hears nothing. First the model says that it is still at it;
    if it does not, a tone."""

    def __init__(self, limits: Limits) -> None:
        self._limit_ms = float(limits.hold_ms)
        self._since_ms: float | None = None
        self._asked_model = False

    def run(self, now_ms: float, heard_until_ms: float) -> None:
        """The caller waits. `heard_until_ms`: the end of the last thing heard, also if to come."""
        since_ms = now_ms if self._since_ms is None else self._since_ms
        self._since_ms = max(since_ms, heard_until_ms)
        if self._since_ms != since_ms:
            self._asked_model = False

    def stop(self) -> None:
        self._since_ms = None
        self._asked_model = False

    @property
    def due_ms(self) -> float:
        if self._since_ms is None:
            return NEVER
        return self._since_ms + self._limit_ms - (0 if self._asked_model else HOLD_SPEECH_MS)

    def fire(self, *, model_can_speak: bool) -> bool:
        """The limit is near or here: True when a tone has to sound now, False when the model is to
        say something."""
        if model_can_speak and not self._asked_model:
            self._asked_model = True
            return False
        return True


class CallLength:
    """The longest call: a warning before its end, a goodbye at it."""

    def __init__(self, limits: Limits) -> None:
        self._longest_ms = float(limits.longest_call_ms) or NEVER
        self._warning_ms = float(limits.warning_ms)
        self._started_ms = NEVER
        self.warned = False
        self.ended = False

    def start(self, now_ms: float) -> None:
        self._started_ms = now_ms

    @property
    def warning_due_ms(self) -> float:
        return NEVER if self.warned else self._started_ms + self._longest_ms - self._warning_ms

    @property
    def end_due_ms(self) -> float:
        return NEVER if self.ended else self._started_ms + self._longest_ms

    def next_ms(self, now_ms: float) -> float:
        return next_after(now_ms, self.warning_due_ms, self.end_due_ms)
