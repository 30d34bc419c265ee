"""Fills in the ids that a model leaves out of its events.

An event should name its item and its response; not every model does. The id is nearly always clear
from the call's state: the active response, its last item, the caller's last turn.
"""

from dataclasses import replace
from typing import Any

from app.call import events as ev
from app.call.heard.conversation import Conversation
from app.call.ids import Ids
from app.call.model.model import Model

_OF_RESPONSES = (ev.ResponseCreated, ev.ResponseDone)
_OF_AGENT_ITEMS = (
    ev.AudioReceived,
    ev.TextReceived,
    ev.TranscriptReceived,
    ev.TranscriptCompleted,
    ev.OutputItemAdded,
    ev.OutputItemDone,
)
_OF_TEXTS = (ev.TextReceived, ev.TranscriptReceived)
_PIECES = (ev.AudioReceived, *_OF_TEXTS)  # come often
_OF_TRANSCRIPTS = (ev.CallerTranscribed, ev.CallerTranscriptionFailed)
_OF_CALLER_ITEMS = (ev.SpeechStarted, ev.CallerTurnCommitted, *_OF_TRANSCRIPTS)
_NAMED = frozenset((*_OF_RESPONSES, *_OF_AGENT_ITEMS, *_OF_CALLER_ITEMS))


class MissingIds:
    """Completes events. Pass every event through `fill` before anything else handles it."""

    def __init__(self, ids: Ids, conversation: Conversation, model: Model) -> None:
        self._ids = ids
        self._conversation = conversation
        self._responses = model.responses
        self._items = model.items

    def fill(self, event: ev.Event) -> ev.Event:
        """Returns the event with its missing ids filled in; the same object if none is missing.

        A text delta keeps an empty `response_id`: it needs none."""
        if isinstance(event, _PIECES) and event.item_id and event.response_id:
            return event
        if type(event) not in _NAMED:
            return event
        found: dict[str, Any] = {}
        if getattr(event, "response_id", None) == "" and type(event) not in _OF_TEXTS:
            found["response_id"] = self._response_id(event)
        if getattr(event, "item_id", None) == "":
            found["item_id"] = self._item_id(event)
        return replace(event, **found) if found else event

    def _response_id(self, event: ev.Event) -> str:
        active_id = self._responses.active_id
        if active_id is None or isinstance(event, ev.ResponseCreated):
            return self._ids.own("response")
        return active_id

    def _item_id(self, event: ev.Event) -> str:
        known = ""
        if isinstance(event, (ev.CallerTurnCommitted, *_OF_TRANSCRIPTS)):
            known = self._conversation.untranscribed
        elif isinstance(event, _OF_AGENT_ITEMS) and not isinstance(event, ev.OutputItemAdded):
            known = next(reversed(self._items.active_item_ids), "")
        return known or self._ids.own("item")
