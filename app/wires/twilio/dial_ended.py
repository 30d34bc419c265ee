"""The parameters that Twilio sends to a <Dial>'s action URL when the <Dial> has ended."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.wires.twilio.call import TERMINAL


@dataclass(frozen=True, slots=True)
class DialEnded:
    """How a <Dial> ended (Twilio: <Dial>, action)."""

    #: `DialCallStatus`; empty if the request has none.
    status: str
    #: `DialBridged`: whether caller and callee were connected. None if the request has none.
    bridged: bool | None
    #: `DialCallDuration`, seconds. None if the request has none.
    seconds: float | None
    #: `CallStatus` is terminal: the caller has hung up. False if the request has none.
    caller_gone: bool

    @property
    def replaced(self) -> bool:
        """Other TwiML replaced the <Dial> while it rang, and the caller is still there."""
        return self.status == "canceled" and not self.caller_gone

    @classmethod
    def of(cls, form: Mapping[str, str]) -> "DialEnded":
        """Reads the form of the request to the action URL."""
        duration = form.get("DialCallDuration", "")
        return cls(
            status=form.get("DialCallStatus", ""),
            bridged={"true": True, "false": False}.get(form.get("DialBridged", "")),
            seconds=float(duration) if duration.isascii() and duration.isdigit() else None,
            caller_gone=form.get("CallStatus", "") in TERMINAL,
        )
