"""Ids of items, responses and tool calls that a model uses again in its next session.

The ids of OpenAI's Realtime API are unique. Other servers of its protocol may number items from 1
in every session; within a leg, the core takes an id for the same item. So an id that an earlier
session of the leg had gets a suffix on its way in, and loses it on its way out.
"""

from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

from app.call.commands import ToModel
from app.call.events import AudioReceived, TextReceived, TranscriptReceived
from app.call.ids import OURS

T = TypeVar("T")

#: Come many times with the same ids.
_PIECES = (AudioReceived, TranscriptReceived, TextReceived)


class ReusedIds:
    """The ids of one leg's sessions. Call `next_session` when a session begins."""

    def __init__(self) -> None:
        self._session = 0
        self._earlier: dict[str, None] = {}
        self._present: dict[str, None] = {}
        self._originals: dict[str, str] = {}

    def next_session(self) -> None:
        """The ids that are known so far belong to earlier sessions."""
        self._session += 1
        self._earlier |= self._present
        self._present = {}
        self._originals = {}

    def inward(self, event: T) -> T:
        """The event, with ids that no earlier session had."""
        if isinstance(event, _PIECES):
            if event.item_id in self._present and event.response_id in self._present:
                return event
        changed: dict[str, object] = {}
        for name in _names(_type(event)):
            value = getattr(event, name)
            if isinstance(value, tuple):
                unique: object = tuple(map(self._of_list, value))
            else:
                unique = self._unique(value) if value else value
            if unique != value:
                changed[name] = unique
        return replace(event, **changed) if changed else event  # type: ignore[type-var]

    def outward(self, command: ToModel) -> ToModel:
        """The command, with the ids that the session knows."""
        if not self._originals:
            return command
        values = {name: getattr(command, name) for name in _names(_type(command))}
        known = {name: self._originals.get(value, value) for name, value in values.items()}
        return replace(command, **known) if known != values else command

    def _of_list(self, each: object) -> object:
        return self._unique(each) if isinstance(each, str) else self.inward(each)

    def _unique(self, value: str) -> str:
        if value in self._present:
            return value
        if value not in self._earlier:
            if not value.startswith(OURS):
                self._present[value] = None
            return value
        unique = f"{value}~{self._session}"
        self._originals[unique] = value
        return unique


def _type(message: object) -> Any:
    return type(message)  # mypy takes a class of frozen dataclasses for unhashable


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The fields of an event or command that hold ids of the model's, or objects with such ids."""
    ids = ("item_id", "response_id", "call_id", "previous_item_id", "after", "calls", "messages")
    return tuple(each.name for each in fields(kind) if each.name in ids)
