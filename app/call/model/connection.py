"""When to connect to the model, when to retry, and when to give up."""

from app.call.deadlines import NEVER, next_after

CONFIGURE_MS = 12_000.0  # deadline for `SessionConfigured` after `ModelOpened`
RETRY_MS = (0.0, 200.0, 400.0, 800.0, 1600.0)  # pause before a try, by the tries before it
GIVE_UP_MS = 20_000.0  # without a session for this long, the call goes on without the model
STEADY_MS = 5000.0  # a session that is lost sooner counts as one more failed try


class ModelLink:
    """The state of the connection to the model: it decides when a session is opened, retried and
    given up, and knows nothing of the session's content.

    Call `start` once, then report every step: `opening`, `opened`, `configured`, `lost`. When
    `next_ms` has come, ask `must_open`, `is_stuck` and `gave_up`.
    """

    def __init__(self) -> None:
        #: A session is open and has accepted the agent's settings.
        self.ready = False
        #: Some session of this leg was ready.
        self.was_ready = False
        #: The reason why no retry can help, such as a wrong key; empty if there is none.
        self.fatal = ""
        self._open_ms = NEVER  # when to open the next session
        self._configured_by_ms = NEVER
        self._down_since_ms = 0.0
        self._ready_since_ms = 0.0
        self._tries = 0

    def start(self, now_ms: float) -> None:
        """Open the first session now, and measure `GIVE_UP_MS` from here."""
        self._down_since_ms = self._open_ms = now_ms

    def opening(self) -> None:
        """The bridge is about to open a session."""
        self._open_ms = NEVER
        self._tries += 1

    def opened(self, now_ms: float) -> None:
        """The socket is open. Send the settings next; their deadline starts now."""
        self._open_ms = NEVER
        self._configured_by_ms = now_ms + CONFIGURE_MS

    @property
    def steady(self) -> bool:
        """Whether the session is ready, and nothing is to be opened or given up."""
        return self.ready and not self.fatal and self._open_ms == NEVER

    @property
    def configuring(self) -> bool:
        """Whether the settings are sent and not accepted yet."""
        return self._configured_by_ms != NEVER

    def configured(self, now_ms: float) -> None:
        """The session accepted the settings: it is ready."""
        self.ready = self.was_ready = True
        self._ready_since_ms = now_ms
        self._configured_by_ms = NEVER

    def swapped(self, now_ms: float) -> None:
        """Another session, which is ready, took over."""
        self._down_since_ms = self._ready_since_ms = now_ms
        self._tries = 0

    def lost(self, reason: str, now_ms: float, *, fatal: bool) -> None:
        """The session closed, or could not be opened. Schedules a retry unless `fatal`, which
        means that no retry can help."""
        if self.ready and now_ms >= self._ready_since_ms + STEADY_MS:
            self._down_since_ms, self._tries = now_ms, 0
        self.ready = False
        self._configured_by_ms = NEVER
        if fatal:
            self.fatal = reason
        self._open_ms = now_ms + RETRY_MS[min(self._tries, len(RETRY_MS) - 1)]

    def must_open(self, now_ms: float) -> bool:
        """Whether to open a session now."""
        return not self.fatal and now_ms >= self._open_ms

    def is_stuck(self, now_ms: float) -> bool:
        """Whether the session missed the deadline for accepting the settings."""
        return not self.fatal and now_ms >= self._configured_by_ms

    def gave_up(self, now_ms: float) -> bool:
        """Whether the call has to go on without the model."""
        return bool(self.fatal) or (not self.ready and now_ms >= self._down_since_ms + GIVE_UP_MS)

    def failure(self, now_ms: float) -> str:
        """Why the model is given up; empty while it is not."""
        if self.fatal or not self.gave_up(now_ms):
            return self.fatal
        return f"no session within {GIVE_UP_MS / 1000:g} s"

    def next_ms(self, now_ms: float) -> float:
        """The next deadline. One that has passed hides no other: without a stream, sessions are
        tried beyond `GIVE_UP_MS`."""
        if self.ready or self.fatal:
            return NEVER
        give_up_ms = self._down_since_ms + GIVE_UP_MS
        return next_after(now_ms, self._open_ms, self._configured_by_ms, give_up_ms)
