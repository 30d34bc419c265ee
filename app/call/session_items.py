"""The agent's items as the present session knows them, and how it is told what was not heard."""

import re
from collections.abc import Callable, Iterable

from app.call.commands import Command, DeleteItem, TruncateItem
from app.call.playback import Cut

OUR_ITEMS = "bridge_"
"""What the ids of items that we name begin with."""

# OpenAI: "Audio content of 1200ms is already shorter than 1500ms".
_SHORTER = re.compile(r"Audio content of (\d+) ?ms is already shorter than")


class SessionItems:
    """Item ids live and die with a session, so all of this is forgotten with it."""

    def __init__(self, out: list[Command], new_event_id: Callable[[], str]) -> None:
        self._out = out
        self._new_event_id = new_event_id
        self._known: set[str] = set()
        self._of_active: list[str] = []
        self._cut_items: set[str] = set()
        self._cut_responses: set[str] = set()
        self._truncations: dict[str, str] = {}  # event id -> item id, until answered

    def response_created(self) -> None:
        self._of_active = []

    def added(self, item_id: str) -> None:
        """The active response began an item."""
        if item_id not in self._known:
            self._known.add(item_id)
            self._of_active.append(item_id)

    @property
    def of_active(self) -> list[str]:
        """The items of the active response, or of the last one."""
        return self._of_active

    def is_cut(self, response_id: str, item_id: str) -> bool:
        """Whether audio of this item must not be played any more: deltas may still come after an
        interruption."""
        return item_id in self._cut_items or response_id in self._cut_responses

    def is_muted(self, response_id: str) -> bool:
        """Whether nothing of this response is to be heard any more."""
        return response_id in self._cut_responses

    def is_news(self, response_id: str, item_id: str) -> bool:
        """Whether a muted response made an item that the model was not yet told to be unheard."""
        return response_id in self._cut_responses and item_id not in self._cut_items

    def mute_response(self, response_id: str) -> None:
        self._cut_responses.add(response_id)

    def cut(self, cuts: Iterable[Cut]) -> None:
        """Tell the model how much of each item was heard: truncate it there, or delete it when
        nothing was (a truncation to 0 is refused before any audio, and says less)."""
        for cut in cuts:
            self._cut_items.add(cut.item_id)
            if cut.item_id not in self._known:
                continue  # an item of a session that is gone
            event_id = self._new_event_id()
            if cut.heard_ms > 0:
                self._truncations[event_id] = cut.item_id
                self._out.append(TruncateItem(event_id, cut.item_id, cut.heard_ms))
            else:
                self._out.append(DeleteItem(event_id, cut.item_id))

    def drop(self, item_id: str) -> None:
        """Delete an item that is of no use: a tool call that was cut short."""
        self._cut_items.add(item_id)
        self._out.append(DeleteItem(self._new_event_id(), item_id))

    def refused(self, event_id: str, message: str) -> bool:
        """The model refused what this event asked for. A truncation beyond the audio is asked for
        once more, at the length that the answer names. Returns whether it was one of ours."""
        item_id = self._truncations.pop(event_id, None)
        if item_id is None:
            return False
        shorter = _SHORTER.search(message)
        if shorter and int(shorter[1]) > 0:
            self._out.append(TruncateItem(self._new_event_id(), item_id, int(shorter[1])))
        return True

    def forget(self) -> None:
        """The session is gone."""
        for known in (self._known, self._cut_items, self._cut_responses):
            known.clear()
        self._truncations.clear()
        self._of_active = []
