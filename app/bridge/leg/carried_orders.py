"""An operator's orders that outlive a leg: its stream was lost before they were carried out."""

from collections.abc import Callable

from app.call.machine import CallMachine
from app.call.orders import left_out
from app.records.carried import Order


class CarriedOrders:
    """The orders that a leg has from the one before it, and those that it leaves itself.

    Call `carry_out` when the leg's stream has started. When the leg is over, call `take` for the
    next leg, or `leave_out` if none follows.

    Args:
        orders: of the leg before.
        feed: gives an event to the machine.
        report: records and logs a decision, with its reason.
    """

    def __init__(
        self,
        orders: tuple[Order, ...],
        machine: CallMachine,
        feed: Callable[[Order], None],
        report: Callable[[str, str], None],
    ) -> None:
        self._orders = orders
        self._machine = machine
        self._feed = feed
        self._report = report

    def carry_out(self) -> None:
        """Carry out the orders of the leg before, or report why that is impossible."""
        orders, self._orders = self._orders, ()
        for order in orders:
            if refusal := self._machine.refusal(order):
                self._report(left_out(order), refusal)
            else:
                self._feed(order)

    @property
    def open(self) -> tuple[Order, ...]:
        """The orders that are not carried out so far, for the record."""
        return (*self._orders, *self._machine.open_orders)

    def take(self) -> tuple[Order, ...]:
        """The orders that are not carried out, once."""
        orders = (*self._orders, *self._machine.unfinished_orders)
        self._orders = self._machine.unfinished_orders = ()
        return orders

    def leave_out(self, reason: str) -> None:
        """Report that the orders are not carried out."""
        for order in self.take():
            self._report(left_out(order), reason)
