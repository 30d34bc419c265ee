"""Sends tool outputs to the model: one for every call, and then a request for a reply."""

from app.call import prompts
from app.call.heard.conversation import Conversation
from app.call.model.connection import ModelLink
from app.call.model.requests import ModelRequests
from app.call.model.responses import Responses, Wish
from app.call.model.tool_calls import ToolCalls

#: Why a model is given up that calls tools in every reply.
ONLY_TOOLS = "the model calls tools again and again, and does not answer the caller"


class ToolAnswers:
    """Answers the tool calls of a leg."""

    def __init__(
        self,
        requests: ModelRequests,
        link: ModelLink,
        calls: ToolCalls,
        responses: Responses,
        conversation: Conversation,
    ) -> None:
        self._requests = requests
        self._link = link
        self._calls = calls
        self._responses = responses
        self._conversation = conversation
        self._not_taken: dict[str, None] = {}  # sent and not confirmed, by call or item id

    @property
    def all_taken(self) -> bool:
        """Whether the server has confirmed every output, so that a response which begins now knows
        them all."""
        return not self._not_taken

    def taken(self, id_: str) -> None:
        """The server confirmed the output of this call, or the message of this item id."""
        self._not_taken.pop(id_, None)

    def session_lost(self) -> None:
        """The session is lost. The next one gets the outputs with the stored conversation."""
        self._calls.session_lost()
        self._not_taken.clear()

    def answer(self, call_id: str, output: str, now_ms: float) -> bool:
        """Send a tool's output to the model and store it, then request a reply when the response
        has ended and all its tools have answered. Returns False if no such call is open: the answer
        is ignored.

        A call of a lost session, or of the call machine itself, is answered by a system message:
        the present session does not know its `call_id`.
        """
        if not self._calls.answer(call_id):
            return False
        name = self._calls.name(call_id)
        self._conversation.tool_answered(call_id, name, output, now_ms)
        if not self._link.ready:
            pass  # the next session gets it with the stored conversation
        elif self._calls.known_to_model(call_id):
            self._not_taken[call_id] = None
            self._requests.add_tool_output(call_id, output)
        else:
            self._requests.add_message("system", prompts.tool_result(name, output))
        response_id = self._calls.response_id(call_id)
        if response_id != self._responses.active_id:
            self.want_reply(response_id)
        return True

    def add_caller_text(self, item_id: str, text: str, replaces: str = "") -> None:
        """Add what the caller typed on the keypad as a user message. Without a session, the next
        one gets it with the stored conversation. Then call `want_reply_to_caller`.

        Args:
            replaces: The message in whose place it is added; empty: none.
        """
        if self._link.ready:
            if replaces:
                self._requests.delete(replaces)
            self._not_taken[item_id] = None
            self._requests.add_message("user", text, item_id)

    def remove_caller_text(self, item_id: str) -> None:
        """Remove a message that `add_caller_text` added: a tool took what the caller typed."""
        if self._link.ready:
            self._requests.delete(item_id)

    def want_reply_to_caller(self) -> None:
        """Request a reply to what the caller typed."""
        if self._responses.allows(Wish.REPLY):
            self._responses.drop_direction(Wish.REPLY)  # it may call tools again
            self._responses.want(Wish.REPLY)

    def want_reply(self, response_id: str) -> None:
        """Request one reply for all the tools that a response called, if all have answered. Call
        this when the response has ended, too. After too many rounds of tools, the reply may call
        none; a model that calls some all the same is given up: the caller would wait for ever."""
        if not self._calls.settled(response_id) or not self._responses.allows(Wish.REPLY):
            return
        if self._calls.limits.exhausted:
            self._responses.give_up(ONLY_TOOLS)
        else:
            self._responses.want(Wish.REPLY, self._calls.limits.direction)

    def answer_overdue(self, now_ms: float) -> None:
        """Answer for the tools that missed their deadline, with an error text."""
        if not self._calls.any_open:
            return
        for call_id, error in self._calls.cancel_overdue(now_ms):
            self.answer(call_id, error, now_ms)
