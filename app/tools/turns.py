"""Turns at a bounded resource that calls share: one call cannot take all of it."""

import asyncio
from collections import Counter
from dataclasses import dataclass


class TooMany(Exception):
    """Too many wait already."""


@dataclass(slots=True, eq=False)
class _Waiting:
    call_sid: str
    #: Set when it is its turn.
    turn: "asyncio.Future[None]"


class Turns:
    """Await `take`, use the resource, then call `give_back`.

    Args:
        most: Most users at once.
        most_of_call: Most of them for one call.
        most_waiting: Most that wait.
    """

    def __init__(self, most: int, most_of_call: int, most_waiting: int) -> None:
        self._most = most
        self._most_of_call = most_of_call
        self._most_waiting = most_waiting
        self._taken: Counter[str] = Counter()  # by call SID
        self._waiting: list[_Waiting] = []

    async def take(self, call_sid: str) -> None:
        """Wait for a turn. The call with the fewest is next, in the order of arrival.

        Raises:
            TooMany: too many wait already.
        """
        if self._may_take(call_sid):
            self._taken[call_sid] += 1
            return
        if len(self._waiting) >= self._most_waiting:
            raise TooMany
        waiting = _Waiting(call_sid, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting.turn
        except BaseException:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # its turn came in the same moment
                self.give_back(call_sid)
            raise

    def give_back(self, call_sid: str) -> None:
        """The turn is over: the next one begins."""
        self._taken[call_sid] -= 1
        if not self._taken[call_sid]:
            del self._taken[call_sid]
        # One that is being cancelled is still in the list, and its turn is done.
        waiting = [each for each in self._waiting if not each.turn.done()]
        if able := [each for each in waiting if self._may_take(each.call_sid)]:
            following = min(able, key=lambda each: self._taken[each.call_sid])
            self._waiting.remove(following)
            self._taken[following.call_sid] += 1
            following.turn.set_result(None)

    def _may_take(self, call_sid: str) -> bool:
        of_call = self._taken[call_sid]
        return of_call < self._most_of_call and self._taken.total() < self._most
