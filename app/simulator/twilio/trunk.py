"""What all calls of a line share, and the order for an outgoing call."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.simulator.twilio.conference import Conferences
from app.simulator.twilio.network import Network, Pacer
from app.simulator.twilio.record import CallRecord
from app.simulator.twilio.webhook import BridgeClient, Delivery

CALL_EVENTS = ("initiated", "ringing", "answered", "completed")


@dataclass(frozen=True, slots=True)
class LineOptions:
    """How long verbs take, and Twilio's behaviour where it is not documented: the arguments of
    `PhoneLine` with the same names."""

    pause_scale: float = 1.0
    gather_scale: float = 1.0
    ring_scale: float = 1.0
    say_ms: float = 5.0
    hold_ms: float = 1000.0
    handshake_timeout_s: float = 5.0
    asks_after_hangup: bool = True
    asks_when_replaced: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where a TwiML document comes from."""

    #: Where to request the document, or the base of relative URLs in `inline`.
    url: str
    method: str = "POST"
    #: Sent beside the standard parameters.
    parameters: Mapping[str, str] = field(default_factory=dict)
    #: The document itself; None: request it from `url`.
    inline: str | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The status callback of a call."""

    url: str
    method: str = "POST"
    #: Of `CALL_EVENTS`.
    events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class Detection:
    """Answering machine detection."""

    #: Enable or DetectMessageEnd.
    mode: str
    #: Gets the result of asynchronous detection; empty: no callback.
    callback_url: str = ""
    callback_method: str = "POST"
    #: False: the call's document waits for the result.
    is_async: bool = True


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call to make. Seconds are Twilio's: `LineOptions.ring_scale` turns them into real ones."""

    to: str
    from_: str
    #: Executed when the call is answered.
    source: Source
    #: The call whose <Dial> makes this one; None: REST makes it.
    parent: CallRecord | None = None
    #: How long it rings.
    timeout_s: float = 60.0
    #: How long it may last; None: no limit.
    time_limit_s: float | None = None
    report: StatusReport | None = None
    detection: Detection | None = None
    #: Keys to play after the answer.
    send_digits: str = ""


class LiveCall(CallRecord, ABC):
    """A call that a <Dial> can end and wait for."""

    @abstractmethod
    def complete(self, status: str = "completed") -> None:
        """End the call. `status`: completed, or canceled before it is answered."""

    @abstractmethod
    async def wait_ended(self) -> None:
        """Wait until the call has ended and its last callback is answered."""


@dataclass(slots=True)
class Trunk:
    """What all calls of a line share."""

    account_sid: str
    client: BridgeClient
    network: Network
    pacer: Pacer
    #: Makes a call.
    place: Callable[[CallOrder], LiveCall]
    #: The SID of a new call, from its direction.
    new_call_sid: Callable[[str], str]
    conferences: Conferences
    delivery: Delivery
    options: LineOptions
    #: How many media streams were created.
    streams: int = 0
