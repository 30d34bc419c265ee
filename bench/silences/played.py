"""A Realtime server that plays to each call what a cell of the table says: a form of silence, or an
answer. Raw JSON over a WebSocket, and nothing of the product's own simulator.

A session learns its call from the caller's stamped silence, or from the number in a message for an
answering machine, which nobody listens to; what is asked of it before, waits for that. A call's
script is in its `Cell`, so that a fresh session goes on with it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from picows import WSListener, WSUpgradeRequest

from bench import stamps
from bench.ledger import Ledger
from bench.model import ClientEvent, Model, new_id, now_ms
from bench.voices.model import Piece, WritingSession

SPEECH_MS = 300.0
WORD_MS = 20.0
UNSPOKEN = "Unspoken"  # in every text that no caller hears

Step = Callable[["PlayedSession"], None]


@dataclass(slots=True)
class Cell:
    """One call's script. `index`: of its call, and in its answers' words. `steps`: what the next
    responses are, before the one that counts: from then on the `form` is played, to the first try
    alone or, with `never`, to each; with `fresh`, to each of the first session.

    `asked_ms`: when each try was asked for. `broke_off_ms`: when the model fell silent amid words.
    `called_ms`: when it called a tool. `tool_ms`: when a tool's answer came. `deaf`: how many texts
    a voice answers without sound. `left`: texts that no caller heard and that were in the
    conversation when another try was asked for.
    """

    index: int
    form: Step
    never: bool
    fresh: bool = False
    steps: list[Step] = field(default_factory=list)
    asked_ms: list[float] = field(default_factory=list)
    broke_off_ms: float = 0.0
    called_ms: float = 0.0
    tool_ms: float = 0.0
    deaf: float = 0.0
    left: list[str] = field(default_factory=list)
    sessions: list["PlayedSession"] = field(default_factory=list)

    def next(self, session: "PlayedSession") -> Step:
        """What the response is that is asked for now."""
        if self.steps:
            return self.steps.pop(0)
        if self.asked_ms:
            self.left += session.unspoken
        self.asked_ms.append(now_ms())
        plays = session is self.sessions[0] if self.fresh else len(self.asked_ms) == 1
        return self.form if self.never or plays else PlayedSession.speak


class PlayedSession(WritingSession):
    """One connection. `items`: the conversation by id, in its order. `hung`: it never says anything
    again."""

    deltas = 12
    interrupts = False

    def __init__(self, ledger: Ledger, cells: Mapping[int, Cell]) -> None:
        super().__init__(ledger, probes=False)
        self.cell: Cell | None = None
        self.items: dict[str, dict[str, Any]] = {}
        self.hung = False
        self._cells = cells
        self._begun = False  # a response of a form is active
        self._waiting = 0  # responses that were asked for before the call was known

    @property
    def texts(self) -> dict[str, str]:
        """What the agent is believed to have said, by item."""
        return {
            key: " ".join(str(c.get("text") or c.get("transcript") or "") for c in item["content"])
            for key, item in self.items.items()
            if item.get("role") == "assistant"
        }

    @property
    def unspoken(self) -> list[str]:
        """Texts in the conversation that no caller can have heard."""
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

    # --- what is played -------------------------------------------------------------------------

    @property
    def writes(self) -> bool:
        """Whether it writes for another voice."""
        return self._writes

    def turn(self) -> None:
        """The caller says something, and the model hears the end of it now."""
        self.speech_item = new_id("item")
        start = {"item_id": self.speech_item, "audio_start_ms": 1000}
        self.send("input_audio_buffer.speech_started", **start)
        self.at(now_ms() + SPEECH_MS, self._turn_over)

    def _turn_over(self) -> None:
        assert self.call is not None
        self.speech_stops(self.call)

    def respond(self) -> None:
        """Turn detection wants an answer."""
        if self.cell is not None:
            self.cell.next(self)(self)

    def speak(self) -> None:
        """An answer as it should be."""
        super().respond()

    def word(self, number: int) -> str:
        assert self.cell is not None
        return words_of(self.cell.index)[number]

    def _pieces(self) -> list[Piece]:
        assert self.cell is not None
        return [(WORD_MS, text) for text in (*words_of(self.cell.index), "")]

    def call_tool(self, name: str) -> None:
        """A response that is a function call and nothing else."""
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
        """A response begins. `announced`: with response.created."""
        self.response_id = new_id("resp")
        if announced:
            self._begun = True
            self.send("response.created", response=self.response("in_progress"))

    def message(self, *, announced: bool = True) -> dict[str, Any]:
        """It begins a message."""
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
        """The message begins a part: audio or text."""
        empty = {"type": kind, "transcript" if kind == "audio" else "text": ""}
        self.send("response.content_part.added", part=empty, **self.place(self.said))

    def delta(self, kind: str, text: str) -> None:
        """A piece of the part. `kind`: such as output_text."""
        self.send(f"response.{kind}.delta", delta=text, **self.place(self.said))

    def sound(self, pieces: int, *, named: bool = True) -> None:
        """So many tenths of a second of audio, at once. `named`: they say whose they are."""
        for number in range(pieces):
            self.said.sent_ms.append(now_ms())
            audio = stamps.agent_delta(self.said.number, number, self.ledger.delta_bytes)
            place = self.place(self.said) if named else {}
            self.send("response.output_audio.delta", delta=audio.decode(), **place)

    def complete(self, item: dict[str, Any], *content: dict[str, str]) -> dict[str, Any]:
        """The message is complete."""
        done = {**item, "status": "completed", "content": list(content)}
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.done", item=done, **of_response)
        self.send("conversation.item.done", previous_item_id=self.last_item, item=done)
        self.last_item = done["id"]
        return done

    def end(self, status: str, *output: dict[str, Any], reason: str = "") -> None:
        """The response ends."""
        self._begun = False
        details = {"type": status, "reason": reason} if reason else None
        ended = self.response(status, output=list(output), status_details=details)
        self.send("response.done", response=ended)


def words_of(index: int) -> list[str]:
    """What an answer says, on which call."""
    return [f"Line {index} ", "has your ", "answer ", "here."]


def numbered_in(instructions: str) -> int | None:
    """Which call a message is for, as the wish for a voicemail numbers it."""
    number = re.search(r"\bCall (\d+):", instructions)
    return int(number[1]) if number else None


def is_unspoken(text: str) -> bool:
    """Whether a text is one that was not heard, or nothing that could be said at all."""
    return UNSPOKEN in text or (bool(text.strip()) and not any(map(str.isalnum, text)))


class PlayedModel(Model):
    """The server. `cells`: every call's script, by its index."""

    def __init__(self, ledger: Ledger, cells: Mapping[int, Cell]) -> None:
        super().__init__(ledger)
        self._cells = cells

    def accept(self, request: WSUpgradeRequest) -> WSListener:
        self.sessions.append(session := PlayedSession(self.ledger, self._cells))
        return session
