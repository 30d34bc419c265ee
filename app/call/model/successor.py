"""The successor: the session that takes over before the present one expires.

A session lasts 60 minutes at most. Most models say when it expires.
"""

from enum import IntEnum

from app.call.backoff import backoff
from app.call.commands import ConfigureSuccessor
from app.call.deadlines import NEVER, next_after
from app.call.model.connection import CONFIGURE_MS

#: How long a session lasts when its model does not say it, and at most: clocks may disagree.
LIFE_MS = 3_600_000.0
#: The successor is opened this long before the session expires: at half of what is left of a
#: shorter life. The shares below are parts of this time.
LEAD_MS = 300_000.0
#: How often the successor is opened: what fails costs the caller nothing, and is tried again after
#: this share, doubled by each failure.
TRIES = 5
RETRY_SHARE = 1 / 60
#: From this share on, the agent may be speaking at the swap.
SPEAKING_SHARE = 1 / 5
#: From this share on, the swap waits for nothing.
ANY_SHARE = 1 / 30


class Moment(IntEnum):
    """Which moment is good enough for the swap."""

    #: No one speaks, and nothing is awaited.
    QUIET = 0
    #: The caller does not speak, and no response is awaited. What the agent has said may still
    #: play, and a tool may run.
    SPEAKING = 1
    #: The session is about to expire.
    ANY = 2


class Successor:
    """When the present session expires, and how far its successor has come.

    Report each step of both: `session_created` and `session_lost` of the present session;
    `opening`, `opened`, `created`, `configured` and `lost` of the successor; `swapped`. When
    `next_ms` has come, ask `must_open`, `is_stuck` and `moment`.
    """

    def __init__(self) -> None:
        #: The successor is open, or being opened.
        self.open = False
        #: It accepted the agent's settings: swap at a good moment.
        self.ready = False
        #: The settings that it got.
        self.settings = ConfigureSuccessor("")
        #: How often it was opened.
        self.tries = 0
        self._expires_ms = NEVER
        self._lead_ms = LEAD_MS
        self._open_ms = NEVER
        self._configured_by_ms = NEVER
        self._next_expires_ms = NEVER  # of the successor

    # --- the present session --------------------------------------------------------------------

    def session_created(self, left_s: float | None, now_ms: float) -> None:
        """The present session began. `left_s`: until it expires; None: the model did not say."""
        self._expire_at(_expires_ms(left_s, now_ms), now_ms)

    def _expire_at(self, expires_ms: float, now_ms: float) -> None:
        self._expires_ms = expires_ms
        self._lead_ms = min(LEAD_MS, max(0.0, expires_ms - now_ms) / 2)
        self._open_ms = max(now_ms + 1, expires_ms - self._lead_ms)
        self.tries = 0

    def session_lost(self) -> None:
        """The present session is lost. Close the successor, if it is `open`."""
        self._close()
        self._expires_ms = self._open_ms = NEVER

    def swapped(self, now_ms: float) -> None:
        """The successor is the present session now."""
        expires_ms = self._next_expires_ms
        self._close()
        self._expire_at(expires_ms, now_ms)

    # --- the successor --------------------------------------------------------------------------

    def must_open(self, now_ms: float) -> bool:
        """Whether to open the successor now."""
        return not self.open and now_ms >= self._open_ms

    def opening(self) -> None:
        """The bridge is about to open the successor."""
        self.open, self._open_ms = True, NEVER
        self.tries += 1

    def opened(self, settings: ConfigureSuccessor, now_ms: float) -> None:
        """The socket is open, and the settings are sent."""
        self.settings = settings
        self._configured_by_ms = now_ms + CONFIGURE_MS

    def created(self, left_s: float | None, now_ms: float) -> None:
        """The successor says when it expires, see `session_created`."""
        self._next_expires_ms = _expires_ms(left_s, now_ms)

    def configured(self) -> None:
        """It accepted the settings."""
        self.ready, self._configured_by_ms = True, NEVER

    def is_stuck(self, now_ms: float) -> bool:
        """Whether it missed the deadline for accepting the settings."""
        return now_ms >= self._configured_by_ms

    def lost(self, now_ms: float) -> None:
        """It closed, refused the settings, or could not be opened."""
        self._close()
        if self.tries < TRIES:
            self._open_ms = now_ms + backoff(self._lead_ms * RETRY_SHARE, self.tries)

    def _close(self) -> None:
        self.open = self.ready = False
        self._configured_by_ms = self._next_expires_ms = NEVER

    # --- the swap -------------------------------------------------------------------------------

    def moment(self, now_ms: float) -> Moment:
        """What to wait for until the swap."""
        left_ms = self._expires_ms - now_ms
        if left_ms <= self._lead_ms * ANY_SHARE:
            return Moment.ANY
        return Moment.SPEAKING if left_ms <= self._lead_ms * SPEAKING_SHARE else Moment.QUIET

    def next_ms(self, now_ms: float) -> float:
        if not self.ready:
            return next_after(now_ms, self._open_ms, self._configured_by_ms)
        speaking_ms = self._expires_ms - self._lead_ms * SPEAKING_SHARE
        return next_after(now_ms, speaking_ms, self._expires_ms - self._lead_ms * ANY_SHARE)


def _expires_ms(left_s: float | None, now_ms: float) -> float:
    if left_s is None or not 0 < left_s * 1000 <= LIFE_MS:
        return now_ms + LIFE_MS
    return now_ms + left_s * 1000
