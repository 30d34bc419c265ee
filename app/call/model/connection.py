"""The way to the model: opened, configured, lost, opened again, given up."""

from app.call.deadlines import NEVER

CONFIGURE_MS = 12_000.0
RETRY_MS = (0.0, 200.0, 400.0, 800.0, 1600.0)
GIVE_UP_MS = 20_000.0  # a caller is not kept longer for a model that does not come
STEADY_MS = 5000.0  # a session that was lost sooner did not really come


class ModelLink:
    """Says when to open a session and when to stop trying. Knows nothing of what is said in it."""

    def __init__(self) -> None:
        self.ready = False
        self.was_ready = False
        self.fatal = ""  # why another try cannot help
        self._open_ms = NEVER  # when to open the next one
        self._configured_by_ms = NEVER
        self._down_since_ms = 0.0
        self._ready_since_ms = 0.0
        self._tries = 0

    def start(self, now_ms: float) -> None:
        self._down_since_ms = self._open_ms = now_ms

    def opening(self) -> None:
        """A session is being opened."""
        self._open_ms = NEVER
        self._tries += 1

    def opened(self, now_ms: float) -> None:
        """The socket is open; the settings go out now."""
        self._configured_by_ms = now_ms + CONFIGURE_MS

    @property
    def configuring(self) -> bool:
        """The settings went out and were not taken yet."""
        return self._configured_by_ms != NEVER

    def configured(self, now_ms: float) -> None:
        self.ready = self.was_ready = True
        self._ready_since_ms = now_ms
        self._configured_by_ms = NEVER

    def lost(self, reason: str, now_ms: float, *, fatal: bool) -> None:
        """The session is gone, or never came."""
        if self.ready and now_ms >= self._ready_since_ms + STEADY_MS:
            self._down_since_ms, self._tries = now_ms, 0
        self.ready = False
        self._configured_by_ms = NEVER
        if fatal:
            self.fatal = reason
        self._open_ms = now_ms + RETRY_MS[min(self._tries, len(RETRY_MS) - 1)]

    def must_open(self, now_ms: float) -> bool:
        return not self.fatal and now_ms >= self._open_ms

    def is_stuck(self, now_ms: float) -> bool:
        """The settings were not taken in time."""
        return now_ms >= self._configured_by_ms

    def gave_up(self, now_ms: float) -> bool:
        """Whether it is time to do without the model."""
        return bool(self.fatal) or (not self.ready and now_ms >= self._down_since_ms + GIVE_UP_MS)

    def failure(self, now_ms: float) -> str:
        """Why the model is given up; empty while it is not."""
        if self.fatal or not self.gave_up(now_ms):
            return self.fatal
        return f"no session within {GIVE_UP_MS / 1000:g} s"

    def next_ms(self) -> float:
        if self.ready or self.fatal:
            return NEVER
        return min(self._open_ms, self._configured_by_ms, self._down_since_ms + GIVE_UP_MS)
