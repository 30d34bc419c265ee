"""The items of a Realtime conversation: their order, audio, truncations and deletion."""

import base64
import binascii
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.simulator.realtime.checks import Refusal
from app.simulator.realtime.config import AudioFormat

_AUDIO_PARTS = ("input_audio", "output_audio")


@dataclass(frozen=True, slots=True)
class Truncation:
    """The client truncated an item to what the caller heard."""

    audio_end_ms: int
    #: Monotonic seconds.
    at_s: float


@dataclass(slots=True, eq=False)
class Item:
    """One item, with more than the client sees: truncated and deleted parts stay readable."""

    id: str
    type: str
    status: str = "completed"
    role: str = ""
    #: The type of the only content part that the server made: input_audio, output_audio,
    #: output_text; empty for a client's item and before anything is generated.
    part: str = ""
    #: The words of a message or the caller's transcript, as far as generated. A truncation removes
    #: them from the conversation, not from here.
    text: str | None = None
    #: The content parts of an item that the client created.
    content: list[dict[str, Any]] = field(default_factory=list)
    #: The audio of its input_audio parts, by content index, in `audio_format`.
    sounds: dict[int, bytes] = field(default_factory=dict)
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""
    response_id: str = ""
    #: All bytes generated or committed, in `audio_format`; a truncation does not cut them.
    audio: bytearray = field(default_factory=bytearray)
    audio_format: AudioFormat = AudioFormat("audio/pcmu")
    truncations: list[Truncation] = field(default_factory=list)
    #: Monotonic seconds; None: not deleted.
    deleted_at_s: float | None = None

    @property
    def audio_ms(self) -> float:
        """The duration of `audio`, truncations ignored."""
        return len(self.audio) / self.audio_format.bytes_per_ms

    @property
    def kept_ms(self) -> float:
        """The duration of audio that the conversation still holds after truncations."""
        return min([self.audio_ms, *(cut.audio_end_ms for cut in self.truncations)])

    def wire(self, *, with_audio: bool = False) -> dict[str, Any]:
        """The item as the server sends it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "object": "realtime.item",
            "type": self.type,
            "status": self.status,
        }
        if self.type == "message":
            return {**shown, "role": self.role, "content": self._parts(with_audio)}
        if self.type == "function_call":
            called = {"name": self.name, "call_id": self.call_id, "arguments": self.arguments}
            return {**shown, **called}
        return {**shown, "call_id": self.call_id, "output": self.output}

    def _parts(self, with_audio: bool) -> list[dict[str, Any]]:
        if self.content:  # made by the client
            return [
                part if with_audio else {k: v for k, v in part.items() if k != "audio"}
                for part in self.content
            ]
        if not self.part:  # nothing generated yet
            return []
        if self.part not in _AUDIO_PARTS:
            return [{"type": self.part, "text": self.text}]
        shown: dict[str, Any] = {"type": self.part}
        if not self.truncations:  # a truncation deletes the transcript
            shown["transcript"] = self.text
        if with_audio:
            kept = bytes(self.audio[: int(self.kept_ms * self.audio_format.bytes_per_ms)])
            shown["audio"] = base64.b64encode(kept).decode("ascii")
        return [shown]


def item_from(
    given: dict[str, Any], new_id: Callable[[str], str], audio_format: AudioFormat
) -> Item:
    """The item of a client event that passed the schema. `audio_format`: of its input_audio parts.

    Its text has the written parts and the client's transcripts; recognize `sounds`, if any, and
    replace it. Raises Refusal for audio not in base64.
    """
    content = given.get("content", [])
    sounds = {
        index: decoded_audio(part["audio"], f"item.content[{index}].audio")
        for index, part in enumerate(content)
        if "audio" in part
    }
    return Item(
        given.get("id") or new_id("item"),
        given["type"],
        role=given.get("role", ""),
        content=content,
        sounds=sounds,
        text="".join(part.get("text", part.get("transcript")) or "" for part in content),
        name=given.get("name", ""),
        call_id=given.get("call_id") or new_id("call"),
        arguments=given.get("arguments", ""),
        output=given.get("output", ""),
        audio=bytearray(b"".join(sounds.values())),
        audio_format=audio_format,
    )


def decoded_audio(payload: str, param: str) -> bytes:
    """Base64 to bytes. Raises Refusal."""
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except ValueError as error:
        message = f"Invalid '{param}'. Expected base64-encoded audio bytes."
        raise Refusal("invalid_value", message, param) from error


class Conversation:
    """The items of one conversation, in order."""

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        #: Every item, deleted ones included, in order of creation.
        self.all_items: list[Item] = []
        self._order: list[Item] = []

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple(self._order)

    def get(self, item_id: str) -> Item | None:
        return next((item for item in self._order if item.id == item_id), None)

    def find(self, item_id: str, verb: str) -> Item:
        """The item with this id. Raises Refusal if missing; `verb` names the operation in it."""
        item = self.get(item_id)
        if item is None:
            message = f"Error in {verb}: the item with id '{item_id}' does not exist."
            raise Refusal(f"item_{verb}_invalid_item_id", message, "item_id")
        return item

    def add(self, item: Item, after: str | None = None) -> None:
        """Insert an item at the end, after the item with id `after`, or first ("root").

        Raises Refusal: the id is taken, or `after` is missing.
        """
        if any(known.id == item.id for known in self.all_items):
            message = f"Item with id '{item.id}' already exists."
            raise Refusal("item_create_invalid_item_id", message, "item.id")
        place = len(self._order)
        if after == "root":
            place = 0
        elif after is not None:
            previous = self.get(after)
            if previous is None:
                message = f"Previous item with id '{after}' not found."
                raise Refusal("item_create_invalid_previous_item_id", message, "previous_item_id")
            place = self._order.index(previous) + 1
        self._order.insert(place, item)
        self.all_items.append(item)

    def previous_id(self, item: Item) -> str | None:
        """The id of the item before this one, or None for the first."""
        return next((a.id for a, b in itertools.pairwise(self._order) if b is item), None)

    def last_id(self) -> str | None:
        return self._order[-1].id if self._order else None

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int, now_s: float) -> None:
        """Truncate an item's audio.

        Raises Refusal: the item has no model audio, or less of it than `audio_end_ms`.
        """
        item = self.find(item_id, "truncate")
        if item.part != "output_audio" or not item.audio:
            raise Refusal(
                "unsupported_content_type",
                "Only model output audio messages can be truncated.",
                "item_id",
            )
        if content_index != 0:
            raise Refusal(
                "invalid_value", f"The item has no content {content_index}.", "content_index"
            )
        if audio_end_ms > item.kept_ms:
            message = (
                f"Audio content of {int(item.kept_ms)}ms is already shorter than {audio_end_ms}ms"
            )
            raise Refusal("invalid_value", message, "audio_end_ms")
        item.truncations.append(Truncation(audio_end_ms, now_s))

    def delete(self, item_id: str, now_s: float) -> None:
        """Remove an item from the conversation. Raises Refusal if it is missing."""
        item = self.find(item_id, "delete")
        item.deleted_at_s = now_s
        self._order.remove(item)

    def input_tokens(self) -> tuple[int, int]:
        """Text and audio tokens of everything that a response reads.

        Audio: 1 token per 100 ms of the caller, 1 per 50 ms of the agent (OpenAI: guide, Managing
        costs).
        """
        text, audio = 0, 0
        for item in self._order:
            if item.audio:
                audio += round(item.kept_ms / (50 if item.role == "assistant" else 100))
            else:
                said = "".join(part.get("text", "") for part in item.content)
                text += text_tokens(item.text or said + item.arguments + item.output)
        return text, audio


def text_tokens(text: str) -> int:
    """Roughly how many tokens a text has."""
    return (len(text) + 3) // 4
