"""Outputs of tools that wait for the model's reply."""

from app.simulator.realtime.items import Conversation, Item
from app.simulator.realtime.script import ToolOutput


class ToolOutputs:
    """The `function_call_output` items that no reply has read yet: each call is answered once."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._pending: dict[str, tuple[Item, Item]] = {}  # by call id: the output, the call
        self._answered: set[str] = set()

    def add(self, item: Item, call: Item) -> None:
        """Take a new item. Of several outputs of one call, the last one before the reply counts,
        and none after it."""
        if item.call_id not in self._answered:
            self._pending[item.call_id] = (item, call)

    def pending(self) -> tuple[ToolOutput, ...]:
        """What the next reply answers, in order of arrival."""
        return tuple(
            ToolOutput(item.call_id, call.name, item.output)
            for item, call in self._pending.values()
            if not self._is_replayed(item, call)
        )

    def clear(self) -> None:
        """A reply reads everything pending."""
        self._answered |= self._pending.keys()
        self._pending.clear()

    def _is_replayed(self, item: Item, call: Item) -> bool:
        """Whether a client wrote the call itself, and an answer after its output: it copied an
        earlier conversation."""
        if call.response_id:
            return False
        items = self._conversation.items
        later = items[items.index(item) + 1 :] if item in items else ()
        return any(each.role == "assistant" and not each.response_id for each in later)
