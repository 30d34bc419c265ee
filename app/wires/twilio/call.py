"""A call in Twilio's words: whose it is, and its status."""

from dataclasses import dataclass
from typing import Literal

CallStatus = Literal[
    "queued", "initiated", "ringing", "in-progress",
    "completed", "busy", "no-answer", "failed", "canceled",
]  # fmt: skip
TERMINAL: frozenset[str] = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Whose call it is, in Twilio's words."""

    call_sid: str
    account_sid: str = ""
    direction: str = "inbound"
    from_number: str = ""
    to_number: str = ""
