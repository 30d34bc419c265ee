"""A call as Twilio describes it: its status, SIDs, direction and numbers."""

from dataclasses import dataclass
from typing import Literal

CallStatus = Literal[
    "queued", "initiated", "ringing", "in-progress",
    "completed", "busy", "no-answer", "failed", "canceled",
]  # fmt: skip
"""Twilio's `CallStatus` (Twilio: Call resource)."""

TERMINAL: frozenset[str] = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
"""Statuses after which a call never changes again."""

STATUS_RANK: dict[str, int] = {
    "queued": 0, "initiated": 1, "ringing": 2, "in-progress": 3, **dict.fromkeys(TERMINAL, 4),
}  # fmt: skip
"""How far a call is: a status never follows one of a higher rank."""


def rank(status: str | None) -> int:
    """The rank of a status; -1: none."""
    return -1 if status is None else STATUS_RANK.get(status, 0)


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Identifies a call, with its direction and numbers as Twilio writes them."""

    call_sid: str
    account_sid: str = ""
    #: `inbound`, or Twilio's `outbound-api` and its kin; `softphone` for a call from the console.
    direction: str = "inbound"
    #: E.164, a `client:` or `sip:` address, or empty if unknown.
    from_number: str = ""
    #: As `from_number`.
    to_number: str = ""
