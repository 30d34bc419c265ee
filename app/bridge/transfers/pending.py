"""A call that is being handed to a human: its leg is over, and it waits for somebody to take it."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.bridge.leg.leg import Leg
from app.call.destinations import Destination
from app.call.exits.attempts import TransferAttempts
from app.config.phone_number import is_number
from app.wires.twilio.rest import CallOrder
from app.wires.twilio.twiml import render, say_language

LONGEST_SUMMARY = 600  # characters that a human listens to before they can press 1

Record = Mapping[str, object]


@dataclass(slots=True)
class PendingTransfer:
    """`past`: records of the call's transfers before. `our_number`: who calls, where the caller's
    own number cannot be shown. `hold_music`: a URL, or empty for Twilio's. `said`: what the caller
    hears first. `returns`: whether they go back to the agent when nobody takes the call.
    `callee_sid`: the call to the human, when it is one of its own."""

    leg: Leg
    handover: TransferAttempts
    past: list[Record]
    our_number: str
    hold_music: str
    said: str = ""
    returns: bool = True
    callee_sid: str = ""

    @property
    def call_sid(self) -> str:
        return self.leg.call.call_sid

    def records(self) -> list[Record]:
        """All transfers of the call, as its record tells them."""
        return [*self.past, *self.handover.records()]

    def outcomes(self) -> str:
        """What became of each attempt, for the log."""
        attempts = self.handover.attempts
        return ", ".join(f"{each.destination.name} {each.outcome}" for each in attempts)

    def url(self, question: str) -> str:
        """Where Twilio asks something about the present attempt."""
        return transfer_url(self.leg.base_url, self.call_sid, self.handover.number, question)

    def twiml(self, destination: Destination) -> str:
        """What the caller's call goes on with, for the present attempt."""
        said, self.said = self.said, ""
        if destination.warm:
            return render(
                "waiting-room",
                said=said,
                action_url=self.url("left"),
                room=room_of(self.call_sid),
                hold_music=self.hold_music,
            )
        sip = destination.address.startswith(("sip:", "sips:"))
        return render(
            "transfer",
            said=said,
            action_url=self.url("ended"),
            whisper_url=self.url("whisper"),
            ring_seconds=str(destination.ring_ms // 1000),
            caller_id="" if is_number(self.leg.call.from_number) else self._ours,
            number="" if sip else destination.address,
            sip=destination.address if sip else "",
        )

    def call_to(self, destination: Destination) -> CallOrder:
        """The call to a human who is briefed while the caller waits."""
        return CallOrder(
            to=destination.address,
            from_number=self._ours,
            url=self.url("whisper"),
            status_callback=self.url("status"),
            ring_s=destination.ring_ms // 1000,
        )

    @property
    def _ours(self) -> str:
        """The number that was called, or that called."""
        call = self.leg.call
        ours = call.to_number if call.direction == "inbound" else call.from_number
        return ours if is_number(ours) else self.our_number


def transfer_url(base_url: str, call_sid: str, number: int, question: str) -> str:
    """Where Twilio asks something about an attempt; see app/web/twilio/transfer_webhooks.py."""
    return f"{base_url}/transfers/{call_sid}/{number}/{question}"


def room_of(call_sid: str) -> str:
    """The name of a call's conference."""
    return f"transfer-{call_sid}"


def whisper(call_sid: str, number: int, base_url: str, summary: str, language: str) -> str:
    """TwiML for a human who picked up. `summary`: of what the caller wants, in the `language`
    (ISO 639-1) of the agent; empty if that is not known."""
    return render(
        "whisper",
        action_url=transfer_url(base_url, call_sid, number, "pressed"),
        summary=summary[:LONGEST_SUMMARY],
        language=say_language(language),
    )


def accepted(call_sid: str, *, warm: bool) -> str:
    """TwiML for a human who takes the call. `warm`: on a call of their own."""
    return render("join", room=room_of(call_sid)) if warm else render("accepted")
