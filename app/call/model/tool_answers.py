"""Sends tool outputs to the model: one for every call, and then a request for a reply."""

from collections.abc import Callable

from app.call import prompts
from app.call.commands import AddMessage, AddToolOutput, CancelTool, Command, ReportDecision
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.connection import ModelLink
from app.call.model.responses import Responses, Wish
from app.call.model.tool_calls import ToolCalls

AnswerTool = Callable[[str, str, float], None]
"""Answers a tool call: takes its `call_id`, its output, and `now_ms`."""


class ToolAnswers:
    """Answers the tool calls of a leg.

    `may_reply`: whether to request a reply at all; False while the call ends or is transferred.
    """

    def __init__(
        self,
        out: list[Command],
        calls: ToolCalls,
        conversation: Conversation,
        responses: Responses,
        link: ModelLink,
        ids: Ids,
        may_reply: Callable[[], bool],
    ) -> None:
        #: The tool calls and their deadlines.
        self.calls = calls
        self._out = out
        self._conversation = conversation
        self._responses = responses
        self._link = link
        self._ids = ids
        self._may_reply = may_reply
        self._not_taken: set[str] = set()  # sent and not confirmed, by call or item id

    @property
    def all_taken(self) -> bool:
        """Whether the server has confirmed every output, so that a response which begins now knows
        them all."""
        return not self._not_taken

    def taken(self, id_: str) -> None:
        """The server confirmed the output of this call, or the message of this item id."""
        self._not_taken.discard(id_)

    def session_lost(self) -> None:
        """The session is lost. The next one gets the outputs with the stored conversation."""
        self.calls.session_lost()
        self._not_taken.clear()

    def answer(self, call_id: str, output: str, now_ms: float) -> None:
        """Send a tool's output to the model and store it, then request a reply when the response
        has ended and all its tools have answered. A second answer to a call is ignored.

        A call of a lost session, or of the call machine itself, is answered by a system message:
        the present session does not know its `call_id`.
        """
        if not self.calls.answer(call_id):
            return
        name = self.calls.name(call_id)
        self._conversation.tool_answered(call_id, name, output, now_ms)
        if not self._link.ready:
            pass  # the next session gets it with the stored conversation
        elif self.calls.known_to_model(call_id):
            self._not_taken.add(call_id)
            self._out.append(AddToolOutput(self._ids.event(), call_id, output))
        else:
            text = prompts.tool_result(name, output)
            self._out.append(AddMessage(self._ids.event(), "system", text))
        response_id = self.calls.response_id(call_id)
        if response_id != self._responses.active_id:
            self.want_reply(response_id)

    def add_caller_text(self, item_id: str, text: str) -> None:
        """Add what the caller typed on the keypad as a user message, and request a reply.
        Without a session, the next one gets it with the stored conversation."""
        if self._link.ready:
            self._not_taken.add(item_id)
            self._out.append(AddMessage(self._ids.event(), "user", text, item_id))
        if self._may_reply():
            self._responses.want(Wish.REPLY)

    def want_reply(self, response_id: str) -> None:
        """Request one reply for all the tools that a response called, if all have answered. Call
        this when the response has ended, too."""
        if self.calls.settled(response_id) and self._may_reply():
            self._responses.want(Wish.REPLY)

    def expire_overdue(self, limit_ms: float, now_ms: float) -> None:
        """Cancel the tools that missed their deadline, and answer their calls with an error text.
        `limit_ms`: for that text."""
        for call_id in self.calls.overdue(now_ms):
            reason = f"{self.calls.name(call_id)} took longer than {limit_ms / 1000:g} s"
            self._out.append(ReportDecision("answer for the tool", reason))
            self._out.append(CancelTool(call_id))
            self.answer(call_id, prompts.tool_overdue(self.calls.name(call_id), limit_ms), now_ms)
