"""Limits on what the model calls: tools in one response, and rounds of tools in a row."""

from app.call import prompts

#: Most tool calls of one response that run.
MOST_CALLS = 16
#: Responses that call tools past the limit of rounds, and still get a reply.
_MOST_PAST_LIMIT = 2


class ToolLimits:
    """Counts tool calls. A round is a response that calls tools.

    Ask `refusal` before each call is run, and `direction` before the reply is requested.
    """

    def __init__(self, most_rounds: int) -> None:
        """
        Args:
            most_rounds: `Limits.tool_rounds`.
        """
        self._most_rounds = most_rounds
        self._rounds = 0  # since the caller last spoke or pressed a key
        self._response_id = ""  # of the last round
        self._calls = 0  # of the last round

    def caller_acted(self) -> None:
        """The caller spoke or pressed a key: count the rounds anew."""
        self._rounds = 0

    def session_lost(self) -> None:
        """The session is lost: the next one may use its ids again."""
        self._response_id = ""

    def refusal(self, response_id: str, name: str, *, is_exit: bool) -> str:
        """A response calls a tool: why it must not run, for the model; empty: it may.

        Args:
            is_exit: The tool ends or transfers the call. No limit of rounds refuses it.
        """
        if response_id != self._response_id:
            self._response_id, self._calls = response_id, 0
            self._rounds += 1
        self._calls += 1
        if self._calls > MOST_CALLS:
            return prompts.too_many_calls(name, MOST_CALLS)
        if self._rounds > self._most_rounds and not is_exit:
            return prompts.too_many_rounds(name, self._most_rounds)
        return ""

    @property
    def direction(self) -> str:
        """The direction of the reply to the last round, which lets it call no tool; empty: a plain
        reply."""
        return prompts.tools_paused(self._rounds) if self._rounds >= self._most_rounds else ""

    @property
    def exhausted(self) -> bool:
        """Whether the model goes on calling tools although its replies may not: request no reply
        until the caller acts."""
        return self._rounds > self._most_rounds + _MOST_PAST_LIMIT
