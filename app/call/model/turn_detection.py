"""Who acts on the caller's speech: turn detection by itself, or the machine.

While the agent listens, turn detection is automatic: it requests the response to each turn, so that
no answer waits for a message of ours. While the agent speaks it only reports, because the caller's
sound may be a cough. A change takes effect when the session confirms it: what turn detection does
at a commit follows from the last `SessionConfigured` before it.
"""

from collections import deque

from app.call.model.requests import ModelRequests


class TurnDetection:
    """The mode of the present session. Report what the session answers: `configured`, `refused`."""

    def __init__(self, requests: ModelRequests) -> None:
        #: The mode that is in force.
        self.automatic = True
        self._requests = requests
        self._pending: deque[tuple[str, bool]] = deque()  # event id and mode, not answered yet
        self._refused = False

    def session_lost(self) -> None:
        """The next session begins automatic. One that refused changes may be followed by one that
        takes them."""
        self.automatic, self._refused = True, False
        self._pending.clear()

    def settings_sent(self, event_id: str) -> None:
        """`ConfigureSession` was sent: it makes turn detection automatic."""
        self._pending.append((event_id, True))

    def want(self, *, automatic: bool) -> None:
        """Change the mode, if it is another one than was asked for last."""
        if automatic != self.asked_automatic and not self._refused:
            event_id = self._requests.set_turn_detection(automatic=automatic)
            self._pending.append((event_id, automatic))

    @property
    def asked_automatic(self) -> bool:
        """The mode that was asked for last."""
        return self._pending[-1][1] if self._pending else self.automatic

    def configured(self) -> None:
        """The session confirmed the oldest change."""
        if self._pending:
            self.automatic = self._pending.popleft()[1]

    def refused(self, event_id: str) -> bool:
        """The model refused the command of this id. Returns whether it was a change of the mode;
        this session gets no other one."""
        ours = [pending for pending in self._pending if pending[0] == event_id]
        for pending in ours:
            self._pending.remove(pending)
            self._refused = True
        return bool(ours)
