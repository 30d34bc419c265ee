"""A pending transfer: its leg is over, and its caller waits for a human to accept the call."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.bridge.leg.leg import Leg
from app.call.destinations import Destination
from app.call.exits.attempts import Attempt, TransferAttempts
from app.config.phone_number import is_number
from app.wires.twilio.call import CallInfo
from app.wires.twilio.rest import CallOrder
from app.wires.twilio.twiml import render, say_language

PLEASE_HOLD = "Please hold the line, you are being connected."
SORRY = (
    "We are sorry, there is a technical problem. Please hold the line, we are connecting you to a "
    "colleague."
)
FALLBACK_REASON = "The agent could not go on."
LONGEST_SUMMARY = 600  # characters that a human listens to before they can press 1

Record = Mapping[str, object]


@dataclass(slots=True)
class Dialling:
    """What Twilio dials for the last attempt of a transfer."""

    call: CallInfo
    #: Where Twilio reaches this service.
    base_url: str
    #: Who is tried, and the outcomes so far.
    attempts: TransferAttempts
    #: TWILIO_PHONE_NUMBER: the caller id where the caller's own number cannot be shown.
    phone_number: str
    #: URL of the waiting room's music; empty: Twilio's own.
    hold_music: str
    #: What Twilio says to the caller before it dials; empty: nothing. `twiml` takes it.
    announcement: str = ""

    @property
    def call_sid(self) -> str:
        return self.call.call_sid

    def url(self, question: str) -> str:
        """The URL that Twilio requests about the last attempt; `question`: see `transfer_url`."""
        return transfer_url(self.base_url, self.call_sid, self.attempts.number, question)

    def twiml(self, destination: Destination) -> str:
        """The caller's TwiML for the last attempt: a dial, or the waiting room for a warm one."""
        said, self.announcement = self.announcement, ""
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
            caller_id="" if is_number(self.call.from_number) else self._our_number,
            number="" if sip else destination.address,
            sip=destination.address if sip else "",
        )

    def callee_order(self, destination: Destination) -> CallOrder:
        """The call to the human of a warm attempt."""
        return CallOrder(
            to=destination.address,
            from_number=self._our_number,
            url=self.url("whisper"),
            status_callback=self.url("status"),
            ring_s=destination.ring_ms // 1000,
        )

    @property
    def _our_number(self) -> str:
        """The number of this service that is on the call, if it is a number."""
        call = self.call
        number = call.to_number if call.direction == "inbound" else call.from_number
        return number if is_number(number) else self.phone_number


@dataclass(slots=True, kw_only=True)
class PendingTransfer(Dialling):
    """One transfer of one call that this process began, from its first attempt to its end."""

    #: The leg that ordered the transfer, or that could not go on.
    leg: Leg
    #: Records of the call's transfers before this one.
    earlier: list[Record]

    @property
    def callee_sid(self) -> str:
        """The call to the human of the last attempt, if it is warm; empty: none is placed."""
        return self.attempts.last.callee_sid

    @property
    def last_attempt(self) -> Attempt:
        return self.attempts.last

    def records(self) -> list[Record]:
        """All transfers of the call, for its record."""
        return [*self.earlier, *self.attempts.records()]

    def save(self) -> None:
        """Store the outcomes so far, before the TwiML that depends on them is returned."""
        self.leg.save_transfers(self.records())

    def outcomes(self) -> str:
        """The outcome of each attempt, for the log."""
        attempts = self.attempts.attempts
        return ", ".join(f"{each.destination.name} {each.outcome}" for each in attempts)


def transfer_url(base_url: str, call_sid: str, number: int, question: str) -> str:
    """The URL of an attempt. `number`: counts the call's attempts from 0. `question`: the last part
    of a route in app/web/twilio/transfer_webhooks.py."""
    return f"{base_url}/transfers/{call_sid}/{number}/{question}"


def room_of(call_sid: str) -> str:
    """The name of the conference in which the caller waits."""
    return f"transfer-{call_sid}"


def whisper(call_sid: str, number: int, base_url: str, summary: str, language: str) -> str:
    """TwiML for a human who picked up: the summary, and to press 1. `summary`: empty: unknown.
    `language`: the agent's, ISO 639-1."""
    return render(
        "whisper",
        action_url=transfer_url(base_url, call_sid, number, "pressed"),
        summary=summary[:LONGEST_SUMMARY],
        language=say_language(language),
    )


def accepted(call_sid: str, *, warm: bool) -> str:
    """TwiML for a human who accepted the call: joins the two. `warm`: in the conference."""
    return render("join", room=room_of(call_sid)) if warm else render("accepted")
