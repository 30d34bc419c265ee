"""Tool calls: each is run once, answered once, and never waited for longer than its limit."""

from dataclasses import dataclass


@dataclass(slots=True)
class _ToolCall:
    name: str
    response_id: str
    due_ms: float
    answered: bool = False
    of_lost_session: bool = False


class ToolCalls:
    """The calls of a leg by their `call_id`."""

    def __init__(self, limit_ms: float) -> None:
        self._limit_ms = limit_ms
        self._calls: dict[str, _ToolCall] = {}

    def begin(self, call_id: str, name: str, response_id: str, now_ms: float) -> bool:
        """A response asks for a tool. False if this call is known already."""
        if call_id in self._calls:
            return False
        self._calls[call_id] = _ToolCall(name, response_id, now_ms + self._limit_ms)
        return True

    def begin_own(self, call_id: str, name: str) -> None:
        """A call that no model made: its answer is told as a message."""
        self._calls[call_id] = _ToolCall(name, "", float("inf"), of_lost_session=True)

    def forget(self, call_id: str) -> None:
        """This call was never made."""
        del self._calls[call_id]

    def drop_deadline(self, call_id: str) -> None:
        """This call is answered whenever it is ready, and waits for nobody: it has no limit."""
        if call_id in self._calls:
            self._calls[call_id].due_ms = float("inf")

    def resume(self, call_id: str, now_ms: float) -> None:
        """This call works again, and its limit begins anew."""
        if call_id in self._calls:
            self._calls[call_id].due_ms = now_ms + self._limit_ms

    def answer(self, call_id: str) -> bool:
        """True exactly once per call: when its answer may go to the model."""
        call = self._calls.get(call_id)
        if call is None or call.answered:
            return False
        call.answered = True
        return True

    def name(self, call_id: str) -> str:
        return self._calls[call_id].name

    def response_id(self, call_id: str) -> str:
        return self._calls[call_id].response_id

    def open(self) -> list[str]:
        """The calls without an answer."""
        return [call_id for call_id, call in self._calls.items() if not call.answered]

    def working(self) -> list[str]:
        """The names of the tools that run: the caller waits for them."""
        calls = self._calls.values()
        return [c.name for c in calls if not c.answered and c.due_ms != float("inf")]

    def waited_for(self, response_id: str | None) -> bool:
        """Whether a call of this response has no answer yet."""
        return any(not c.answered for c in self._calls.values() if c.response_id == response_id)

    def has_calls_of(self, response_id: str) -> bool:
        """Whether this response called a tool."""
        return any(call.response_id == response_id for call in self._calls.values())

    def settled(self, response_id: str) -> bool:
        """Whether every call of a response has its answer; False if it made none."""
        calls = [c for c in self._calls.values() if c.response_id == response_id]
        return bool(calls) and all(call.answered for call in calls)

    def overdue(self, now_ms: float) -> list[str]:
        return [
            call_id
            for call_id, call in self._calls.items()
            if not call.answered and call.due_ms <= now_ms
        ]

    def next_due_ms(self) -> float:
        return min((c.due_ms for c in self._calls.values() if not c.answered), default=float("inf"))

    def session_lost(self) -> None:
        """The session that made these calls is gone: its successor does not know their ids."""
        for call in self._calls.values():
            call.of_lost_session = True

    def known_to_model(self, call_id: str) -> bool:
        return not self._calls[call_id].of_lost_session
