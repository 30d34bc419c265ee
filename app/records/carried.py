"""What goes on in a call's next leg, as the record stores it: also if another process opens it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from app.call.events import OpenEntry, SayRequested, TransferRequested

Order = SayRequested | TransferRequested


@dataclass(frozen=True, slots=True)
class Carried:
    """What is under way on a leg and goes on in the next one, also in another process."""

    #: What the caller typed last, see `LegOpened.entry`; None: nothing.
    entry: OpenEntry | None = field(default=None, repr=False)
    #: An operator's orders that were accepted and are not carried out.
    orders: tuple[Order, ...] = field(default=(), repr=False)

    def as_data(self) -> dict[str, Any]:
        """JSON data; empty: nothing is under way."""
        data: dict[str, Any] = {}
        if self.entry is not None:
            data["entry"] = asdict(self.entry)
        if self.orders:
            data["orders"] = [_order_data(order) for order in self.orders]
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Carried":
        """What `as_data` returned. What another version wrote and this one cannot read is left
        out."""
        orders = data.get("orders", ())
        readable = _orders(orders) if isinstance(orders, Sequence) else ()
        return cls(_entry(data.get("entry")), tuple(readable))


@dataclass(frozen=True, slots=True)
class Placed:
    """What an outbound call is for."""

    #: Identifies the call in the URLs that Twilio requests; empty: an inbound call.
    token: str = ""
    #: Replaces the agent's greeting; empty: the agent's own.
    greeting: str = ""
    #: Replaces what the agent leaves on an answering machine; empty: the agent's own.
    voicemail: str = ""
    #: What the agent needs to know about this call.
    context: str = field(default="", repr=False)

    def as_data(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Placed":
        """What `as_data` returned, from any version."""
        return cls(*(str(data.get(each.name) or "") for each in fields(cls)))


def _order_data(order: Order) -> dict[str, str]:
    if isinstance(order, SayRequested):
        return {"say": order.text}
    return {"transfer": order.destination}


def _orders(stored: Sequence[Any]) -> Iterator[Order]:
    for each in stored:
        match each:
            case {"say": str(text)}:
                yield SayRequested(text)
            case {"transfer": str(destination)}:
                yield TransferRequested(destination)


def _entry(stored: Any) -> OpenEntry | None:
    match stored:
        case {"digits": str(digits), "replaces": str(replaces), "pressed_ms": int() | float()}:
            lone = stored.get("lone") is True
            return OpenEntry(digits, replaces, float(stored["pressed_ms"]), lone)
    return None
