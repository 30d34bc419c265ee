"""What all calls of a line share, and the order by which a call is made to somebody."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.simulator.twilio.conference import Conferences
from app.simulator.twilio.network import Network, Pacer
from app.simulator.twilio.record import CallRecord
from app.simulator.twilio.webhook import BridgeClient, Delivery

CALL_EVENTS = ("initiated", "ringing", "answered", "completed")


@dataclass(frozen=True, slots=True)
class Manners:
    """How long things take, and what Twilio does where it is not known what it does: see
    `PhoneLine`, which has these as arguments."""

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
    """Where a document comes from: requested from `url` with the standard parameters and
    `parameters`, or given as `inline` text, its relative URLs resolved against `url`."""

    url: str
    method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)
    inline: str | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Where the progress of a call is reported, and which of `CALL_EVENTS`."""

    url: str
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class Detection:
    """Answering machine detection. `mode`: Enable or DetectMessageEnd. `callback_url`: gets the
    answer beside the call; empty: the call waits for it."""

    mode: str
    callback_url: str = ""
    callback_method: str = "POST"
    is_async: bool = True


@dataclass(frozen=True, slots=True)
class CallOrder:
    """A call to make. `source`: what is executed on it once it is answered. `parent`: the call
    whose <Dial> it is; none: it came by REST. Seconds are Twilio's, before any scale."""

    to: str
    from_: str
    source: Source
    parent: CallRecord | None = None
    timeout_s: float = 60.0
    time_limit_s: float | None = None
    report: StatusReport | None = None
    detection: Detection | None = None
    send_digits: str = ""


class LiveCall(CallRecord, ABC):
    """A call that others can end."""

    @abstractmethod
    def complete(self, status: str = "completed") -> None:
        """Ends it. `status`: completed, or canceled before it is answered."""

    @abstractmethod
    async def wait_ended(self) -> None:
        """Waits until it is over and its last callback answered."""


@dataclass(slots=True)
class Trunk:
    """What all calls of a line share. `place`: makes a call. `new_call_sid`: the SID of
    the next one of a direction. `streams`: how many were opened."""

    account_sid: str
    client: BridgeClient
    network: Network
    pacer: Pacer
    place: Callable[[CallOrder], LiveCall]
    new_call_sid: Callable[[str], str]
    conferences: Conferences
    delivery: Delivery
    manners: Manners
    streams: int = 0
