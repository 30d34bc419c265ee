"""Tool calls: each runs once, is answered once, and has a deadline."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.call import prompts
from app.call.commands import CancelTool, ReportDecision
from app.call.deadlines import NEVER
from app.call.model.tool_limits import ToolLimits
from app.call.outbox import Outbox


@dataclass(slots=True, eq=False)
class _ToolCall:
    name: str
    #: The response that made the call; empty for a call of the machine itself.
    response_id: str
    #: The deadline, monotonic ms; infinite when the call has none.
    due_ms: float
    answered: bool = False
    #: The present session does not know the `call_id`.
    of_lost_session: bool = False


class ToolCalls:
    """The tool calls of a leg, by `call_id`."""

    def __init__(
        self,
        outbox: Outbox[CancelTool | ReportDecision],
        limit_ms: float,
        limits: ToolLimits,
    ) -> None:
        """
        Args:
            limit_ms: How long a tool may take, `Limits.tool_ms`.
            limits: How many calls may run.
        """
        #: How many calls may run.
        self.limits = limits
        self._outbox = outbox
        self._limit_ms = limit_ms
        self._calls: dict[str, _ToolCall] = {}
        # Asked at every event, so they hold what is asked for and not all calls of the leg.
        self._open: dict[str, _ToolCall] = {}  # without an answer, by call_id
        self._of_response: dict[str, list[_ToolCall]] = {}  # by response_id

    def begin(self, call_id: str, name: str, response_id: str, now_ms: float) -> bool:
        """A response called a tool. Returns False if this call is known already: do not run it."""
        if call_id in self._calls:
            return False
        self._add(call_id, _ToolCall(name, response_id, now_ms + self._limit_ms))
        return True

    def begin_own(self, call_id: str, name: str) -> None:
        """The machine itself starts a call, which the model did not make. It has no deadline, and
        its output reaches the model as a message."""
        self._add(call_id, _ToolCall(name, "", NEVER, of_lost_session=True))

    def _add(self, call_id: str, call: _ToolCall) -> None:
        self._calls[call_id] = self._open[call_id] = call
        self._of_response.setdefault(call.response_id, []).append(call)

    def forget(self, call_id: str) -> None:
        """Remove a call that could not be started."""
        call = self._calls.pop(call_id)
        self._open.pop(call_id, None)
        self._of_response[call.response_id].remove(call)

    def drop_deadline(self, call_id: str) -> None:
        """Remove the deadline of this call: it is answered when it is ready."""
        if call_id in self._calls:
            self._calls[call_id].due_ms = NEVER

    def resume(self, call_id: str, now_ms: float) -> None:
        """This call runs again: its deadline starts anew."""
        if call_id in self._calls:
            self._calls[call_id].due_ms = now_ms + self._limit_ms

    def answer(self, call_id: str) -> bool:
        """Returns True for the first answer to a known call: send its output to the model."""
        call = self._calls.get(call_id)
        if call is None or call.answered:
            return False
        call.answered = True
        del self._open[call_id]
        return True

    def name(self, call_id: str) -> str:
        return self._calls[call_id].name

    def response_id(self, call_id: str) -> str:
        return self._calls[call_id].response_id

    @property
    def any_open(self) -> bool:
        """Whether any call has no answer."""
        return bool(self._open)

    def open(self) -> list[str]:
        """The ids of the calls without an answer."""
        return list(self._open)

    def working(self) -> list[str]:
        """The names of the tools that run with a deadline: the caller waits for them."""
        if not self._open:
            return []
        return [call.name for call in self._open.values() if call.due_ms != NEVER]

    def waited_for(self, response_id: str | None) -> bool:
        """Whether any call of this response has no answer yet."""
        return any(call.response_id == response_id for call in self._open.values())

    def has_calls_of(self, response_id: str) -> bool:
        """Whether this response called a tool."""
        return bool(self._of_response.get(response_id))

    def settled(self, response_id: str) -> bool:
        """Whether a response called tools and all of them have answered."""
        calls = self._of_response.get(response_id, ())
        return bool(calls) and all(call.answered for call in calls)

    def cancel_overdue(self, now_ms: float) -> Iterator[tuple[str, str]]:
        """Cancel the tools that missed their deadline. Yields each call's id, and the error text to
        answer it with before the next one is cancelled."""
        for call_id, call in list(self._open.items()):
            if not call.answered and call.due_ms <= now_ms:
                seconds = self._limit_ms / 1000
                reason = f"{call.name} took longer than {seconds:g} s"
                self._outbox.put(ReportDecision("answer for the tool", reason))
                self._outbox.put(CancelTool(call_id))
                yield call_id, prompts.tool_overdue(call.name, self._limit_ms)

    def next_due_ms(self) -> float:
        """The next deadline; NEVER if there is none."""
        if not self._open:
            return NEVER
        return min(call.due_ms for call in self._open.values())

    def session_lost(self) -> None:
        """The session is lost: the next one does not know the ids of these calls."""
        for call in self._calls.values():
            call.of_lost_session = True
        self.limits.session_lost()

    def known_to_model(self, call_id: str) -> bool:
        """Whether the present session knows this `call_id`: then answer it by its id."""
        return not self._calls[call_id].of_lost_session
