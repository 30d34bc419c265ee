"""The agent's items as the present session knows them, and how it is told what was not heard."""

import re
from dataclasses import replace

from app.call.commands import AddMessage, Command, DeleteItem, TruncateItem
from app.call.heard.ledger import HeardPart
from app.call.ids import Ids

# OpenAI: "Audio content of 1200ms is already shorter than 1500ms".
_SHORTER = re.compile(r"Audio content of (\d+) ?ms is already shorter than")


class SessionItems:
    """Item ids live and die with a session, so all of this is forgotten with it."""

    def __init__(self, out: list[Command], ids: Ids) -> None:
        self._out = out
        self._ids = ids
        self._known: set[str] = set()
        self._of_active: list[str] = []
        self._cut_items: set[str] = set()
        self._cut_responses: set[str] = set()
        self._truncations: dict[str, str] = {}  # event id -> item id, until answered
        self._standing_in: dict[str, str] = {}  # item id -> id of what stands in its place now
        self._additions: dict[str, AddMessage] = {}  # by event id

    def response_created(self) -> None:
        self._of_active = []

    def added(self, item_id: str) -> None:
        """The active response began an item."""
        if item_id not in self._known:
            self._known.add(item_id)
            self._of_active.append(item_id)

    @property
    def active_item_ids(self) -> list[str]:
        """The items of the active response, or of the last one."""
        return self._of_active

    def is_cut(self, response_id: str, item_id: str) -> bool:
        """Whether audio of this item must not be played any more: deltas may still come after an
        interruption."""
        return item_id in self._cut_items or response_id in self._cut_responses

    def is_muted(self, response_id: str) -> bool:
        """Whether nothing of this response is to be heard any more."""
        return response_id in self._cut_responses

    def needs_deletion(self, response_id: str, item_id: str) -> bool:
        """Whether a muted response made an item that the model was not yet told to be unheard."""
        return response_id in self._cut_responses and item_id not in self._cut_items

    def mute_response(self, response_id: str) -> None:
        self._cut_responses.add(response_id)

    def cut(self, cut: HeardPart) -> None:
        """Tell the model how much of an item was heard: truncate it there, or delete it when
        nothing was (a truncation to 0 is refused before any audio, and says less)."""
        self._cut_items.add(cut.item_id)
        if cut.item_id not in self._known:
            return  # an item of a session that is gone
        event_id = self._ids.event()
        if cut.heard_ms > 0:
            self._truncations[event_id] = cut.item_id
            self._out.append(TruncateItem(event_id, cut.item_id, cut.heard_ms))
        else:
            self._out.append(DeleteItem(event_id, cut.item_id))

    def replace(self, item_id: str, heard_text: str) -> None:
        """Tell the model what was heard of an item that is text alone: a message with that text
        takes its place, or nothing does. (Only audio can be truncated: protocol, section 9.)"""
        self._cut_items.add(item_id)
        if item_id not in self._known:
            return
        present_id = self._standing_in.get(item_id, item_id)
        if heard_text:
            event_id = self._ids.event()
            self._standing_in[item_id] = self._ids.own("heard")
            added = AddMessage(
                event_id, "assistant", heard_text, self._standing_in[item_id], present_id
            )
            self._additions[event_id] = added
            self._out.append(added)
        else:
            self._known.discard(item_id)  # there is nothing left to replace
        self._out.append(DeleteItem(self._ids.event(), present_id))

    def restate(self, item_id: str) -> str:
        """A new session is told of an item that is still being said. Returns the id to do it with:
        what of it is not heard after all can then be taken back."""
        self._known.add(item_id)
        self._standing_in[item_id] = self._ids.own("told")
        return self._standing_in[item_id]

    def drop(self, item_id: str) -> None:
        """Delete an item that is of no use: a tool call that was cut short."""
        self._cut_items.add(item_id)
        self._out.append(DeleteItem(self._ids.event(), item_id))

    def refused(self, event_id: str, message: str) -> bool:
        """The model refused what this event asked for. A truncation beyond the audio is asked for
        once more, at the length that the answer names; a text that cannot take its place goes to
        the end. Returns whether it was one of ours."""
        if added := self._additions.pop(event_id, None):
            if added.after:
                self._out.append(replace(added, event_id=self._ids.event(), after=""))
            return True
        item_id = self._truncations.pop(event_id, None)
        if item_id is None:
            return False
        shorter = _SHORTER.search(message)
        if shorter and int(shorter[1]) > 0:
            self._out.append(TruncateItem(self._ids.event(), item_id, int(shorter[1])))
        return True

    def forget(self) -> None:
        """The session is gone."""
        for known in (self._known, self._cut_items, self._cut_responses):
            known.clear()
        for answers in (self._truncations, self._standing_in, self._additions):
            answers.clear()
        self._of_active = []
