"""What Twilio tells when a caller's <Dial> is over: the parameters of its action."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.wires.twilio.call import TERMINAL


@dataclass(frozen=True, slots=True)
class DialEnded:
    """`status`: DialCallStatus, empty for an action that has none. `bridged`: whether the two
    talked, None when Twilio does not say. `seconds`: how long the human was on the line, if known.
    `caller_gone`: the caller has hung up; silence about it is no goodbye."""

    status: str
    bridged: bool | None
    seconds: float | None
    caller_gone: bool

    @classmethod
    def of(cls, form: Mapping[str, str]) -> "DialEnded":
        duration = form.get("DialCallDuration", "")
        return cls(
            status=form.get("DialCallStatus", ""),
            bridged={"true": True, "false": False}.get(form.get("DialBridged", "")),
            seconds=float(duration) if duration.isascii() and duration.isdigit() else None,
            caller_gone=form.get("CallStatus", "") in TERMINAL,
        )
