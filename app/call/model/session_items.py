"""Keeps the session's items in step with what the caller heard: truncate, delete, replace."""

from app.call.heard.ledger import HeardPart
from app.call.ids import Ids
from app.call.model.requests import ModelRequests


class SessionItems:
    """The agent's items in the present session. Item ids mean nothing to the next session, so call
    `forget` when the session is lost.
    """

    def __init__(self, requests: ModelRequests, ids: Ids) -> None:
        self._requests = requests
        self._ids = ids
        self._known: dict[str, None] = {}  # items that the session contains
        self._of_active: list[str] = []
        self._cut_items: dict[str, None] = {}
        self._cut_responses: dict[str, None] = {}
        self._truncations: dict[str, str] = {}  # event id -> item id, until answered
        self._replacements: dict[str, str] = {}  # item id -> id of the message in its place
        self._additions: dict[str, tuple[str, str]] = {}  # (text, item id) by event id

    def response_created(self) -> None:
        """A response began: its items follow."""
        self._of_active = []

    def added(self, item_id: str) -> None:
        """The active response began this item. May be called more than once."""
        if item_id not in self._known:
            self._known[item_id] = None
            self._of_active.append(item_id)

    @property
    def active_item_ids(self) -> list[str]:
        """The items of the active response, or of the last one."""
        return self._of_active

    def is_cut(self, response_id: str, item_id: str) -> bool:
        """Whether to ignore further audio of this item: deltas may still arrive after an
        interruption."""
        return item_id in self._cut_items or response_id in self._cut_responses

    def is_muted(self, response_id: str) -> bool:
        """Whether to play nothing more of this response."""
        return response_id in self._cut_responses

    def needs_deletion(self, response_id: str, item_id: str) -> bool:
        """Whether this item of a muted response is still to be deleted from the session."""
        return response_id in self._cut_responses and item_id not in self._cut_items

    def mute_response(self, response_id: str) -> None:
        """Play nothing more of this response. Its items are cut by `cut` or `replace`."""
        self._cut_responses[response_id] = None

    def cut(self, cut: HeardPart) -> None:
        """Truncate an audio item to what the caller heard, or delete it if they heard nothing:
        an item without audio cannot be truncated."""
        self._cut_items[cut.item_id] = None
        if cut.item_id not in self._known:
            return  # an item of an earlier session
        if cut.heard_ms > 0:
            self._truncations[self._requests.truncate(cut.item_id, cut.heard_ms)] = cut.item_id
        else:
            self._requests.delete(cut.item_id)

    def replace(self, item_id: str, heard_text: str) -> None:
        """Replace a text item by a message with the text that the caller heard; delete it if they
        heard nothing: `TruncateItem` is for audio alone."""
        self._cut_items[item_id] = None
        if item_id not in self._known:
            return
        present_id = self._replacements.get(item_id, item_id)
        if heard_text:
            message = (heard_text, self._ids.own("heard"))
            self._replacements[item_id] = message[1]
            event_id = self._requests.add_message("assistant", *message, after=present_id)
            self._additions[event_id] = message
        else:
            self._known.pop(item_id, None)  # nothing is left to replace
        self._requests.delete(present_id)

    def restate(self, item_id: str) -> str:
        """Returns the item id under which to add this item to a new session while a voice still
        speaks it: `replace` can then correct the text when the caller interrupts."""
        self._known[item_id] = None
        self._replacements[item_id] = self._ids.own("told")
        return self._replacements[item_id]

    def drop(self, item_id: str) -> None:
        """Delete a tool call that was cut short: its arguments may be incomplete."""
        self._cut_items[item_id] = None
        self._requests.delete(item_id)

    def is_restated(self, item_id: str) -> bool:
        """Whether the session contains a message in place of this item."""
        return item_id in self._replacements

    def refused(self, event_id: str, length_ms: int) -> bool:
        """The model refused the command of this id. Returns whether this class had sent it.

        A truncation beyond the audio is retried once, at the audio's length. A message whose place
        is gone is added at the end of the conversation.

        Args:
            length_ms: `ModelFaulted.length_ms`.
        """
        if added := self._additions.pop(event_id, None):
            self._requests.add_message("assistant", *added)
            return True
        item_id = self._truncations.pop(event_id, None)
        if item_id is None:
            return False
        if length_ms > 0:
            self._requests.truncate(item_id, length_ms)
        return True

    def forget(self) -> None:
        """The session is lost: its items do not exist in the next one."""
        for known in (self._known, self._cut_items, self._cut_responses):
            known.clear()
        for answers in (self._truncations, self._replacements, self._additions):
            answers.clear()
        self._of_active = []
