"""The settings of the present session: what was sent, what is in force, who acts on speech.

While the agent listens, turn detection acts by itself: it requests the response to each turn, so
that no answer waits for another message. While the agent speaks it only reports, because the
caller's sound may be a cough. Changes are answered in the order in which they were sent: what turn
detection does at a commit follows from the last `SessionConfigured` before it.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from app.call.model.requests import ModelRequests


class Refused(Enum):
    """What the model refused."""

    #: The agent's settings: the session cannot be used.
    SETTINGS = "settings"
    #: The mode of turn detection: the session goes on as it is.
    DETECTION = "detection"


@dataclass(frozen=True, slots=True)
class _Change:
    """A change without an answer."""

    event_id: str
    what: Refused
    #: Turn detection acts by itself once it is in force.
    automatic: bool


class SessionSettings:
    """Report every answer of the session: `taken` or `refused`."""

    def __init__(self, requests: ModelRequests) -> None:
        #: Turn detection acts by itself now.
        self.automatic = True
        self._requests = requests
        self._pending: deque[_Change] = deque()
        self._detection_refused = False

    def session_lost(self) -> None:
        """Nothing that was sent is answered any more, and the next session acts by itself."""
        self.automatic, self._detection_refused = True, False
        self._pending.clear()

    def configure(self, *, speaks: bool) -> None:
        """Send the agent's settings; turn detection acts by itself then. `speaks`: the model's
        output is audio."""
        event_id = self._requests.configure(speaks=speaks)
        self._pending.append(_Change(event_id, Refused.SETTINGS, automatic=True))

    def detect(self, *, automatic: bool) -> None:
        """Change who acts on the caller's speech, unless the latest change did."""
        if automatic != self.asked_automatic and not self._detection_refused:
            event_id = self._requests.set_turn_detection(automatic=automatic)
            self._pending.append(_Change(event_id, Refused.DETECTION, automatic))

    @property
    def asked_automatic(self) -> bool:
        """Whether turn detection acts by itself once all changes are in force."""
        return self._pending[-1].automatic if self._pending else self.automatic

    def taken(self) -> None:
        """The oldest change without an answer is in force."""
        if self._pending:
            self.automatic = self._pending.popleft().automatic

    def refused(self, event_id: str) -> Refused | None:
        """The model refused the command of this id. Returns what it was; None: no change of the
        settings. A session that refuses a mode gets no other one."""
        for change in self._pending:
            if change.event_id == event_id:
                self._pending.remove(change)
                self._detection_refused |= change.what is Refused.DETECTION
                return change.what
        return None
