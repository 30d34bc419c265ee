"""Orders that no tool call of the model gives: an operator's, and the caller's lone 0."""

from app.call import prompts
from app.call.agent import Agent
from app.call.destinations import route_to
from app.call.events import SayRequested, TransferRequested
from app.call.exits.exits import Exits
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transfer import TRANSFER, TransferRequest, open_destinations
from app.call.ids import Ids
from app.call.model.model import Model
from app.call.ordered_words import LEFT_OUT, OrderedWords
from app.call.prompts import TakenBack

#: `CallMachine.ended_by` of a leg after which the call goes on with the agent, as far as is known:
#: the stream was lost, or Twilio presses keys.
RESUMED_AFTER = ("line", "stuck", "unclaimed", SEND_DIGITS)

#: Why the machine refuses an order while the call goes on with other TwiML.
REDIRECTED = "the call is being transferred, or Twilio is playing digits on it"
#: Why it is refused without a leg that could carry it out.
NOT_WITH_AGENT = "the caller does not talk with the agent now"


def left_out(order: SayRequested | TransferRequested) -> str:
    """The decision to report when this order is not carried out."""
    return LEFT_OUT if isinstance(order, SayRequested) else "leave out the operator's transfer"


class Orders:
    """Judges an operator's orders, and begins transfers under a tool call id of our own, so that
    the model learns of them."""

    def __init__(
        self,
        agent: Agent,
        model: Model,
        exits: Exits,
        words: OrderedWords,
        ids: Ids,
    ) -> None:
        #: The texts that an operator ordered.
        self.words = words
        self._transfer = ("", TransferRequested(""))  # the last one, with its call_id
        self._destinations = agent.destinations
        self._model = model
        self._exits = exits
        self._ids = ids

    @property
    def can_transfer(self) -> bool:
        """Whether the agent has any destination, open or not."""
        return bool(self._destinations)

    def refusal(self, order: SayRequested | TransferRequested) -> str:
        """Why this order cannot be carried out now, for the operator; empty: it can be."""
        exits = self._exits
        if exits.redirecting:
            return REDIRECTED
        if exits.under_way:
            return "the agent is ending or transferring the call"
        if isinstance(order, SayRequested):
            return ""
        if not self._destinations:
            return "no transfer destination is configured; see [transfer], or set TRANSFER_NUMBER"
        if not self._named(order.destination):
            names = ", ".join(each.name for each in self._destinations)
            return f"no such destination; expected one of: {names}"
        if exits.pressing_keys:
            return "the agent is pressing keys; try again when they have sounded"
        return ""

    def _named(self, name: str) -> str:
        """The name of this destination, which may be left out if there is only one; empty: there is
        no such destination."""
        names = [each.name for each in self._destinations]
        if not name and len(names) == 1:
            return names[0]
        return name if name in names else ""

    def transfer_by_operator(self, destination: str, now_ms: float, *, at_s: float) -> None:
        """An operator transfers the caller to this destination, whether it is open or not.

        Args:
            at_s: Unix time, in seconds.
        """
        name = self._named(destination)
        if name:
            others = route_to(name, self._destinations, at_s)
            request = TransferRequest(tuple(dict.fromkeys((name, *others))))
            if call_id := self._begin(request, TakenBack.OPERATOR, now_ms):
                self._transfer = call_id, TransferRequested(name)

    def transfer_by_key(self, now_ms: float, *, at_s: float) -> str:
        """The caller asks for a human with a lone 0.

        Args:
            at_s: Unix time, in seconds.

        Returns:
            Empty when the transfer begins; else what the model has to know about the key.
        """
        route = open_destinations(self._destinations, at_s)
        if not route:
            opens = (each.hours.opens_next(at_s) for each in self._destinations)
            return prompts.closed_for_zero(min(filter(None, opens)))
        request = TransferRequest(route, "The caller pressed 0.")
        if self._begin(request, TakenBack.LONE_ZERO, now_ms):
            return ""
        return prompts.keys_pressed("0")

    @property
    def open(self) -> tuple[SayRequested | TransferRequested, ...]:
        """The orders that were accepted and are not carried out so far."""
        call_id, transfer = self._transfer
        if call_id in self._model.tools.open() and not self._exits.ordered:
            return (*self.words.open, transfer)
        return self.words.open

    def end_leg(self, reason: str, now_ms: float) -> tuple[SayRequested | TransferRequested, ...]:
        """The leg is over. Reports the orders that are not carried out, unless another leg follows
        in which they can be: then it returns them.

        Args:
            reason: `CallMachine.ended_by`.
        """
        orders: list[SayRequested | TransferRequested] = [*self.words.unfinished(now_ms)]
        call_id, transfer = self._transfer
        if call_id in self._model.tools.open() and not self._exits.ordered:
            orders.append(transfer)
        if reason in RESUMED_AFTER:
            return tuple(orders)
        for order in orders:
            self.words.report(left_out(order), f"the leg ended: {reason}")
        return ()

    def _begin(self, request: TransferRequest, why: TakenBack, now_ms: float) -> str:
        """Returns the id under which the model gets the outcome; empty: that is impossible now."""
        call_id, tools = self._ids.own("transfer"), self._model.tools
        tools.begin_own(call_id, TRANSFER)
        announce = self._model.link.ready
        begun = self._exits.request_transfer(call_id, request, why, now_ms, announce=announce)
        if not begun:
            tools.forget(call_id)
        return call_id if begun else ""
