"""What the model is told of its tools: every call is answered once, and the answers get a reply."""

from collections.abc import Callable

from app.call import prompts
from app.call.commands import AddMessage, AddToolOutput, CancelTool, Command, ReportDecision
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.connection import ModelLink
from app.call.model.responses import Responses, Wish
from app.call.model.tool_calls import ToolCalls

AnswerTool = Callable[[str, str, float], None]
"""Answers a tool call: its id, its output, and `now_ms`."""


class ToolAnswers:
    """The calls with their clocks are `calls`. `may_reply`: whether a reply is wanted at all; not
    at the end of a call."""

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
        self.calls = calls
        self._out = out
        self._conversation = conversation
        self._responses = responses
        self._link = link
        self._ids = ids
        self._may_reply = may_reply
        self._not_taken: set[str] = set()  # what the model may not know yet, by call or item id

    @property
    def all_taken(self) -> bool:
        """Whether a response created now knows every answer."""
        return not self._not_taken

    def taken(self, id_: str) -> None:
        """The model has this answer, or this message."""
        self._not_taken.discard(id_)

    def session_lost(self) -> None:
        """The next session is told of everything from the conversation."""
        self.calls.session_lost()
        self._not_taken.clear()

    def answer(self, call_id: str, output: str, now_ms: float) -> None:
        if not self.calls.answer(call_id):
            return
        name = self.calls.name(call_id)
        self._conversation.tool_answered(call_id, name, output, now_ms)
        if not self._link.ready:
            pass  # the next session learns it from the conversation
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
        """The caller said this without speaking, and gets a reply."""
        if self._link.ready:
            self._not_taken.add(item_id)
            self._out.append(AddMessage(self._ids.event(), "user", text, item_id))
        if self._may_reply():
            self._responses.want(Wish.REPLY)

    def want_reply(self, response_id: str) -> None:
        """One reply for all the tools that a response called, when it is over and they are."""
        if self.calls.settled(response_id) and self._may_reply():
            self._responses.want(Wish.REPLY)

    def expire_overdue(self, limit_ms: float, now_ms: float) -> None:
        """Answer for the tools that take too long."""
        for call_id in self.calls.overdue(now_ms):
            reason = f"{self.calls.name(call_id)} took longer than {limit_ms / 1000:g} s"
            self._out.append(ReportDecision("answer for the tool", reason))
            self._out.append(CancelTool(call_id))
            self.answer(call_id, prompts.tool_overdue(self.calls.name(call_id), limit_ms), now_ms)
