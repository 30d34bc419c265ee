"""What the Realtime API's error codes and texts mean for a call.

OpenAI: Realtime API, server event `error`. The codes are not listed there; these were seen.
"""

import re

from app.call.events import Refusal

#: With these, a new session would fail as well.
FATAL = {
    "insufficient_quota",
    "invalid_api_key",
    "account_deactivated",
    "billing_hard_limit_reached",
    "beta_api_shape_disabled",
}
#: With these, the session ends.
SESSION_LOST = {"session_expired"}
_BUSY = "conversation_already_has_active_response"
# The whole text: "Audio content of 1200ms is already shorter than 1500ms".
_SHORTER = re.compile(r"Audio content of (\d+) ?ms is already shorter than")


def refusal(code: str, message: str) -> tuple[Refusal, int]:
    """The `refusal` and the `length_ms` of a `ModelFaulted` with this code and message."""
    if code == _BUSY:
        return "busy", 0
    shorter = _SHORTER.search(message)
    return ("too_short", int(shorter[1])) if shorter else ("", 0)
