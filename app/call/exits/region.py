"""One region of the exits: a state that moves by its table, with the deadline of that state."""

from collections import Counter
from enum import StrEnum
from typing import Generic

from app.call.deadlines import NEVER
from app.call.exits.transitions import DEADLINES, Action, Deadline, S, Table, Trigger

#: What was illegal, and how often: (state, trigger).
Illegal = Counter[tuple[StrEnum, Trigger]]


class Region(Generic[S]):
    """Holds a state. `take` a trigger, and perform the actions that it returns, in their order."""

    def __init__(self, table: Table[S], state: S, illegal: Illegal) -> None:
        """
        Args:
            state: The first one.
            illegal: Counts the triggers that the table does not list.
        """
        self.state = state
        self._table = table
        self._illegal = illegal
        self._entered_ms = 0.0

    def take(self, trigger: Trigger, now_ms: float) -> tuple[Action, ...]:
        """Move by the table. Returns the actions to perform; none if the trigger is illegal."""
        transition = self._table[self.state].get(trigger)
        if transition is None:
            self._illegal[self.state, trigger] += 1
            return ()
        if transition.next is not self.state:
            self.state, self._entered_ms = transition.next, now_ms
        return transition.actions

    def expired(self, now_ms: float) -> Deadline | None:
        """The deadline of the present state, if it has passed: `take` its trigger."""
        deadline = DEADLINES.get(self.state)
        return deadline if deadline is not None and now_ms >= self.next_ms() else None

    def next_ms(self) -> float:
        """When the present state expires; NEVER if it may last."""
        deadline = DEADLINES.get(self.state)
        return NEVER if deadline is None else self._entered_ms + deadline.after_ms
