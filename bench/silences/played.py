"""A Realtime server that plays the script of each call: normal answers, and a form of silence.

It sends raw JSON over a WebSocket and does not use the project's own simulator. A session learns
its call from the caller's stamped silence, or from the number in the message for an answering
machine; earlier responses wait until then. The script is in the call's `Cell`, so that a new
session of the call continues it.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from picows import WSListener, WSUpgradeRequest

from app.audio import silence
from bench import stamps
from bench.ledger import Ledger
from bench.model import ClientEvent, Model, new_id, now_ms
from bench.voices.model import Piece, WritingSession

SPEECH_MS = 300.0
WORD_MS = 20.0
ZEROS_MS = 100
_ZEROS = base64.b64encode(silence(ZEROS_MS)).decode("ascii")
UNSPOKEN = "Unspoken"  # in every text that must not be heard

Step = Callable[["PlayedSession"], None]


@dataclass(slots=True)
class Cell:
    """One call's script, and what happened. Times are monotonic ms; 0: it has not happened."""

    #: Of the call; also in the words of its answers.
    index: int
    #: Played in place of the answer that counts, which follows `steps`.
    form: Step
    #: Play the form at every try; False: at the first one only.
    never: bool
    #: Play the form at every try of the first session.
    fresh: bool = False
    #: The responses before the one that counts.
    steps: list[Step] = field(default_factory=list)
    #: When the service created each try.
    asked_ms: list[float] = field(default_factory=list)
    #: When an answer stopped in the middle of its words.
    broke_off_ms: float = 0.0
    #: When the model called a tool.
    called_ms: float = 0.0
    #: When a tool's output arrived.
    tool_ms: float = 0.0
    #: How many texts the external voice answers without sound.
    deaf: float = 0.0
    #: ... and with digital silence.
    zeros: bool = False
    #: Texts without sound that were in the conversation when the next try was created.
    left: list[str] = field(default_factory=list)
    sessions: list["PlayedSession"] = field(default_factory=list)

    def next(self, session: "PlayedSession") -> Step:
        """The step that plays the response that the service creates now."""
        if self.steps:
            return self.steps.pop(0)
        if self.asked_ms:
            self.left += session.unspoken
        self.asked_ms.append(now_ms())
        plays = session is self.sessions[0] if self.fresh else len(self.asked_ms) == 1
        return self.form if self.never or plays else PlayedSession.speak


class PlayedSession(WritingSession):
    """One connection."""

    deltas = 12
    interrupts = False

    def __init__(self, ledger: Ledger, cells: Mapping[int, Cell]) -> None:
        super().__init__(ledger, probes=False)
        self.cell: Cell | None = None
        #: The conversation by id, in order.
        self.items: dict[str, dict[str, Any]] = {}
        #: It ignores every client event from now on.
        self.hung = False
        self._cells = cells
        self._begun = False  # a response of a form is active
        self._waiting = 0  # responses created before the call was known

    @property
    def texts(self) -> dict[str, str]:
        """The text of the agent's items in the conversation, by id."""
        return {
            key: " ".join(str(c.get("text") or c.get("transcript") or "") for c in item["content"])
            for key, item in self.items.items()
            if item.get("role") == "assistant"
        }

    @property
    def unspoken(self) -> list[str]:
        """The texts in the conversation that the caller cannot have heard."""
        return [text for text in self.texts.values() if is_unspoken(text)]

    # --- client events --------------------------------------------------------------------------

    def take(self, event: ClientEvent, at_ms: float) -> None:
        if self.hung:
            return
        match event.type:
            case "input_audio_buffer.append":
                if self.cell is None:
                    self._learn(stamps.silent_owner(event.audio))
            case "response.create":
                if self.cell is None:
                    self._learn(numbered_in(event.response.get("instructions", "")))
                if self.answer or self._begun:
                    code = "conversation_already_has_active_response"
                    self.refuse(event, code, "Conversation already has an active response")
                elif self.cell is None:
                    self._waiting += 1
                else:
                    self.cell.next(self)(self)
            case "response.cancel" if self._begun:
                self.end("cancelled", reason="client_cancelled")
            case "conversation.item.delete":
                if self.items.pop(event.item_id, None) is None:
                    message = f"Item with item_id {event.item_id} not found"
                    self.refuse(event, "item_delete_invalid_item_id", message)
                else:
                    self.send("conversation.item.deleted", item_id=event.item_id)
            case "conversation.item.create":
                self._create(event, at_ms)
            case _:
                super().take(event, at_ms)

    def _learn(self, owner: int | None) -> None:
        if owner is None or owner not in self._cells:
            return
        self.cell, self.call = self._cells[owner], self.ledger.calls[owner]
        self.cell.sessions.append(self)
        for _ in range(self._waiting):
            self.cell.next(self)(self)

    def _create(self, event: ClientEvent, at_ms: float) -> None:
        item = {"id": new_id("item"), "status": "completed", "content": [], **event.item}
        if self.cell is not None and item["type"] == "function_call_output":
            self.cell.tool_ms = at_ms
        before, self.items = self.items, {}
        for key, known in before.items():
            self.items[key] = known
            if key == event.previous_item_id:
                self.items[item["id"]] = item
        self.add_item(item)

    def send(self, kind: str, **fields: Any) -> None:
        if kind in ("conversation.item.added", "conversation.item.done"):
            self.items[fields["item"]["id"]] = fields["item"]
        super().send(kind, **fields)

    # --- steps ----------------------------------------------------------------------------------

    @property
    def writes(self) -> bool:
        """Whether it writes text for an external voice."""
        return self._writes

    def turn(self) -> None:
        """The caller says something."""
        self.speech_item = new_id("item")
        start = {"item_id": self.speech_item, "audio_start_ms": 1000}
        self.send("input_audio_buffer.speech_started", **start)
        self.at(now_ms() + SPEECH_MS, self._turn_over)

    def _turn_over(self) -> None:
        assert self.call is not None
        self.speech_stops(self.call)

    def respond(self) -> None:
        """Turn detection creates a response."""
        if self.cell is not None:
            self.cell.next(self)(self)

    def speak(self) -> None:
        """Play a normal answer."""
        super().respond()

    def word(self, number: int) -> str:
        assert self.cell is not None
        return words_of(self.cell.index)[number]

    def _pieces(self) -> list[Piece]:
        assert self.cell is not None
        return [(WORD_MS, text) for text in (*words_of(self.cell.index), "")]

    def call_tool(self, name: str) -> None:
        """Play a response with a function call only."""
        assert self.cell is not None
        self.begin()
        call = {"type": "function_call", "name": name, "call_id": new_id("call")}
        item = {**call, "id": new_id("item"), "object": "realtime.item", "arguments": ""}
        place = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.added", item={**item, "status": "in_progress"}, **place)
        self.send("conversation.item.added", item=item, previous_item_id=self.last_item)
        item |= {"status": "completed", "arguments": "{}"}
        self.send("response.output_item.done", item=item, **place)
        self.end("completed", item)
        self.cell.called_ms = now_ms()

    # --- the parts of a form --------------------------------------------------------------------

    def begin(self, *, announced: bool = True) -> None:
        """Start a response. `announced`: send response.created."""
        self.response_id = new_id("resp")
        if announced:
            self._begun = True
            self.send("response.created", response=self.response("in_progress"))

    def message(self, *, announced: bool = True) -> dict[str, Any]:
        """Start a message. `announced`: send its events."""
        assert self.call is not None
        self.said = self.ledger.answer_begun(new_id("item"), self.call)
        item = self.item(self.said, "in_progress", [])
        if announced:
            of_response = {"response_id": self.response_id, "output_index": 0}
            self.send("response.output_item.added", item=item, **of_response)
            self.send("conversation.item.added", previous_item_id=self.last_item, item=item)
        self.items[item["id"]] = item
        return item

    def part(self, kind: str) -> None:
        """Start a content part. `kind`: audio or text."""
        empty = {"type": kind, "transcript" if kind == "audio" else "text": ""}
        self.send("response.content_part.added", part=empty, **self.place(self.said))

    def delta(self, kind: str, text: str) -> None:
        """Send a delta. `kind`: such as output_text."""
        self.send(f"response.{kind}.delta", delta=text, **self.place(self.said))

    def sound(self, pieces: int, *, named: bool = True) -> None:
        """Send `pieces` deltas of 100 ms of audio, at once. `named`: with ids."""
        for number in range(pieces):
            self.said.sent_ms.append(now_ms())
            audio = stamps.agent_delta(self.said.number, number, self.ledger.delta_bytes)
            place = self.place(self.said) if named else {}
            self.send("response.output_audio.delta", delta=audio.decode(), **place)

    def zeros(self, pieces: int) -> None:
        """Send `pieces` deltas of 100 ms of digital silence, at once."""
        for _ in range(pieces):
            self.send("response.output_audio.delta", delta=_ZEROS, **self.place(self.said))

    def zeros_on(self, response_id: str) -> None:
        """Send digital silence as fast as it plays, until this response is over."""
        if self._begun and self.response_id == response_id:
            self.zeros(1)
            self.at(now_ms() + ZEROS_MS, self.zeros_on, response_id)

    def complete(self, item: dict[str, Any], *content: dict[str, str]) -> dict[str, Any]:
        """Complete a message, and return its item."""
        done = {**item, "status": "completed", "content": list(content)}
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.done", item=done, **of_response)
        self.send("conversation.item.done", previous_item_id=self.last_item, item=done)
        self.last_item = done["id"]
        return done

    def end(self, status: str, *output: dict[str, Any], reason: str = "") -> None:
        """Send response.done."""
        self._begun = False
        details = {"type": status, "reason": reason} if reason else None
        ended = self.response(status, output=list(output), status_details=details)
        self.send("response.done", response=ended)


def words_of(index: int) -> list[str]:
    """The words of an answer on a call, as text deltas."""
    return [f"Line {index} ", "has your ", "answer ", "here."]


def numbered_in(instructions: str) -> int | None:
    """The number of the call in the message for a voicemail, or None."""
    number = re.search(r"\bCall (\d+):", instructions)
    return int(number[1]) if number else None


def is_unspoken(text: str) -> bool:
    """Whether a text was not heard: it is marked so, or has no letter and no digit."""
    return UNSPOKEN in text or (bool(text.strip()) and not any(map(str.isalnum, text)))


class PlayedModel(Model):
    """The server. `cells`: the script of each call, by its index."""

    def __init__(self, ledger: Ledger, cells: Mapping[int, Cell]) -> None:
        super().__init__(ledger)
        self._cells = cells

    def accept(self, request: WSUpgradeRequest) -> WSListener:
        self.sessions.append(session := PlayedSession(self.ledger, self._cells))
        return session
