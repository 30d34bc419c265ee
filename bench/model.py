"""The model's end of the load: a Realtime server that plays a script to each session.

Every 4 s the caller "speaks" for 1.2 s and is answered with 2.5 s of audio, sent five times faster
than real time; every third answer is interrupted 0.2 to 1.9 s after it begins, sometimes while it
is still being sent. Events and their order: OpenAI Realtime API (GA).
"""

import asyncio
import time
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import msgspec
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from bench import stamps
from bench.ledger import Answer, Call, Ledger

TURN_MS, SPEECH_MS = 4000, 1200
ANSWER_DELTAS = 25
DELTA_EVERY_MS = 20  # 100 ms of audio each, so five times real time
TRANSCRIPT_EVERY = 3  # deltas of audio for one of transcript
INTERRUPT_EVERY = 3
INTERRUPT_AFTER_MS = (200, 1900)


class ClientEvent(msgspec.Struct):
    """A client event, with the fields that the load uses."""

    type: str
    event_id: str | None = None
    audio: str = ""
    item_id: str = ""
    audio_end_ms: float = 0
    session: dict[str, Any] = {}
    item: dict[str, Any] = {}
    response: dict[str, Any] = {}
    previous_item_id: str | None = None


decode = msgspec.json.Decoder(ClientEvent).decode
encode = msgspec.json.Encoder().encode
new_number = count(1)


def new_id(prefix: str) -> str:
    """An id in the API's form: a prefix and 20 characters."""
    return f"{prefix}_{next(new_number):020d}"


def now_ms() -> float:
    """Monotonic milliseconds: the clock of both ends."""
    return time.perf_counter() * 1000


def merge(into: dict[str, Any], update: dict[str, Any]) -> None:
    """Apply a session.update: it changes the keys that it has, and replaces a format as a whole."""
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and key != "format":
            merge(into[key], value)
        else:
            into[key] = value


def default_session() -> dict[str, Any]:
    """The session before its first session.update."""
    pcm = {"type": "audio/pcm", "rate": 24000}
    turns = {"type": "server_vad", "create_response": True, "interrupt_response": True}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": new_id("sess"),
        "model": "bench",
        "expires_at": int(time.time()) + 3600,
        "output_modalities": ["audio"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "audio": {
            "input": {"format": pcm, "transcription": None, "turn_detection": turns},
            "output": {"format": pcm, "voice": "marin", "speed": 1.0},
        },
    }


class ModelSession(WSListener):
    """One connection of the bridge. It learns its call from the first stamp that arrives."""

    #: The number of audio deltas in an answer.
    deltas = ANSWER_DELTAS
    #: Callers interrupt answers.
    interrupts = True

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.call: Call | None = None
        self.session = default_session()
        #: The answer that is being generated.
        self.answer: Answer | None = None
        self.response_id = ""
        self.speech_item = ""
        self.last_item: str | None = None
        #: Answers generated before the call was known.
        self.unclaimed: list[Answer] = []
        self.turns = self.words = 0
        self.timers: set[asyncio.TimerHandle] = set()

    # --- the socket -----------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.ledger.model_sockets += 1
        self.send("session.created", session=self.session)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ledger.model_sockets -= 1
        if self.call:
            self.call.model_open = False
        self.rest()

    def rest(self) -> None:
        """Stop the script: neither caller nor model speaks again."""
        for timer in self.timers:
            timer.cancel()

    def send(self, kind: str, **fields: Any) -> None:
        """Send a server event."""
        if not self.transport.is_disconnected:
            event = {"type": kind, "event_id": new_id("event"), **fields}
            self.transport.send(WSMsgType.TEXT, encode(event))

    def refuse(self, cause: ClientEvent, code: str, message: str) -> None:
        """Answer a client event with an `error` event; the session stays open."""
        fault = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        self.send("error", error={**fault, "event_id": cause.event_id})

    def at(self, when_ms: float, action: Callable[..., None], *args: Any) -> None:
        """Call `action` at `when_ms`, unless the session ends before."""

        def act() -> None:
            self.timers.discard(timer)
            action(*args)

        delay_s = max(0.0, when_ms - now_ms()) / 1000
        timer = asyncio.get_running_loop().call_later(delay_s, act)
        self.timers.add(timer)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        at_ms = now_ms()
        if frame.msg_type == WSMsgType.TEXT:
            self.take(decode(frame.get_payload_as_memoryview()), at_ms)
        elif frame.msg_type == WSMsgType.CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()

    # --- client events --------------------------------------------------------------------------

    def take(self, event: ClientEvent, at_ms: float) -> None:
        """Act on a client event that arrived at `at_ms`."""
        match event.type:
            case "input_audio_buffer.append":
                for stamp in stamps.read_frames(event.audio):
                    self.claim(self.ledger.calls[stamp.owner])
                    if self.call and self.call.index == stamp.owner:
                        self.ledger.frame_arrived(self.call, stamp.number, at_ms)
            case "session.update":
                merge(self.session, event.session)
                self.send("session.updated", session=self.session)
            case "response.create":
                if self.answer:
                    code = "conversation_already_has_active_response"
                    self.refuse(event, code, "Conversation already has an active response")
                else:
                    self.respond()
            case "response.cancel":
                if self.answer:
                    self.finish("cancelled", "client_cancelled")
                else:
                    code = "response_cancel_not_active"
                    self.refuse(event, code, "Cancellation failed: no active response found")
            case "conversation.item.truncate":
                self.truncate(event, at_ms)
            case "conversation.item.delete":
                if self.call:
                    self.ledger.truncated(self.call, event.item_id, 0, at_ms)
                self.send("conversation.item.deleted", item_id=event.item_id)
            case "conversation.item.create":
                self.add_item({"id": new_id("item"), "status": "completed", **event.item})

    def claim(self, call: Call) -> None:
        """Assign this session to a call."""
        if self.call is call:
            return
        if self.call or call.model_open:
            self.ledger.faults.append(f"call {call.index}: its audio went to a second session")
            return
        self.call = call
        call.model_open = True
        call.answers += self.unclaimed
        for answer in self.unclaimed:
            answer.call = call
        self.random = Random(call.index)
        # The golden ratio spreads the calls' turns evenly, however many there are.
        self.at(now_ms() + 500 + call.index * 0.618 % 1 * TURN_MS, self.speech_starts)

    def truncate(self, event: ClientEvent, at_ms: float) -> None:
        """Truncate an item, or refuse to."""
        to_ms = event.audio_end_ms
        if self.call and self.ledger.truncated(self.call, event.item_id, to_ms, at_ms):
            end = {"content_index": 0, "audio_end_ms": to_ms}
            self.send("conversation.item.truncated", item_id=event.item_id, **end)
        else:
            self.refuse(event, "invalid_value", f"Audio content is already shorter than {to_ms}ms")

    # --- the script -----------------------------------------------------------------------------

    def speech_starts(self) -> None:
        """The caller starts to speak, and may interrupt an answer."""
        if self.call is None:
            return
        at_ms, detection = now_ms(), self.session["audio"]["input"]["turn_detection"] or {}
        self.turns += 1
        self.speech_item = new_id("item")
        self.ledger.speech_started(self.call, at_ms)
        start = {"item_id": self.speech_item, "audio_start_ms": len(self.call.sent_ms) * 20}
        self.send("input_audio_buffer.speech_started", **start)
        if self.answer and detection.get("interrupt_response", True):
            self.finish("cancelled", "turn_detected")
        self.at(at_ms + SPEECH_MS, self.speech_stops, self.call)
        next_ms: float = TURN_MS
        if self.interrupts and self.turns % INTERRUPT_EVERY == 2:
            next_ms = SPEECH_MS + self.random.uniform(*INTERRUPT_AFTER_MS)
        self.at(at_ms + next_ms, self.speech_starts)

    def speech_stops(self, call: Call) -> None:
        """The caller stops speaking: commit the turn and answer it."""
        item = {"item_id": self.speech_item}
        audio = self.session["audio"]["input"]
        self.send("input_audio_buffer.speech_stopped", audio_end_ms=len(call.sent_ms) * 20, **item)
        self.send("input_audio_buffer.committed", previous_item_id=self.last_item, **item)
        said = [{"type": "input_audio", "transcript": None}]
        item_fields = {"type": "message", "role": "user", "status": "completed", "content": said}
        self.add_item({"id": self.speech_item, **item_fields})
        if audio["transcription"]:
            kind = "conversation.item.input_audio_transcription.completed"
            self.send(kind, content_index=0, transcript="Some words.", **item)
        if self.answer is None and (audio["turn_detection"] or {}).get("create_response", True):
            self.respond()

    def add_item(self, item: dict[str, Any]) -> None:
        """Add a complete item to the conversation."""
        item["object"] = "realtime.item"
        for kind in ("conversation.item.added", "conversation.item.done"):
            self.send(kind, previous_item_id=self.last_item, item=item)
        self.last_item = item["id"]

    # --- answers --------------------------------------------------------------------------------

    def item(self, answer: Answer, status: str, content: list[dict[str, str]]) -> dict[str, Any]:
        fields = {"type": "message", "role": "assistant", "status": status, "content": content}
        return {"id": answer.item_id, "object": "realtime.item", **fields}

    def response(self, status: str, **fields: Any) -> dict[str, Any]:
        known = {"object": "realtime.response", "id": self.response_id, "status": status}
        kept = {"conversation_id": "conv_1", "output_modalities": ["audio"], "metadata": None}
        return {**known, "status_details": None, "output": [], "usage": None, **kept, **fields}

    def respond(self) -> None:
        """Start an answer."""
        answer = self.ledger.answer_begun(new_id("item"), self.call)
        if self.call is None:
            self.unclaimed.append(answer)
        self.answer, self.words, self.response_id = answer, 0, new_id("resp")
        begun = self.item(answer, "in_progress", [])
        self.send("response.created", response=self.response("in_progress"))
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.added", item=begun, **of_response)
        self.send("conversation.item.added", previous_item_id=self.last_item, item=begun)
        part = {"type": "audio", "transcript": ""}
        self.send("response.content_part.added", part=part, **self.place(answer))
        at_ms = now_ms() + DELTA_EVERY_MS
        self.at(at_ms, self.send_delta, answer, at_ms)

    def place(self, answer: Answer) -> dict[str, Any]:
        ids = {"response_id": self.response_id, "item_id": answer.item_id}
        return {**ids, "output_index": 0, "content_index": 0}

    def send_delta(self, answer: Answer, at_ms: float) -> None:
        """Send the next delta of an answer, unless it was cancelled."""
        if answer is not self.answer:
            return
        number, place = len(answer.sent_ms), self.place(answer)
        audio = stamps.agent_delta(answer.number, number, answer.delta_bytes).decode()
        answer.sent_ms.append(now_ms())
        self.send("response.output_audio.delta", **place, delta=audio)
        if number % TRANSCRIPT_EVERY == 0:
            word = self.word(self.words)
            self.words += 1
            self.send("response.output_audio_transcript.delta", **place, delta=word)
        if number + 1 == self.deltas:
            self.finish("completed")
        else:
            at_ms += DELTA_EVERY_MS
            self.at(at_ms, self.send_delta, answer, at_ms)

    def word(self, _number: int) -> str:
        """A word of an answer's transcript, by its number from 0."""
        return " word"

    def finish(self, status: str, reason: str = "") -> None:
        """End the current answer. `status`: completed or cancelled."""
        if (answer := self.answer) is None:
            return
        self.answer = None
        text, place = "".join(map(self.word, range(self.words))), self.place(answer)
        self.send("response.output_audio.done", **place)
        self.send("response.output_audio_transcript.done", transcript=text, **place)
        part = {"type": "audio", "transcript": text}
        self.send("response.content_part.done", part=part, **place)
        item_status = "completed" if status == "completed" else "incomplete"
        done = self.item(answer, item_status, [{"type": "output_audio", "transcript": text}])
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.output_item.done", item=done, **of_response)
        self.send("conversation.item.done", previous_item_id=self.last_item, item=done)
        details = {"type": status, "reason": reason} if reason else None
        audio = len(answer.sent_ms) * 2
        usage = {
            "total_tokens": 60 + audio + self.words,
            "input_tokens": 60,
            "output_tokens": audio + self.words,
            "input_token_details": {"text_tokens": 20, "audio_tokens": 40, "cached_tokens": 0},
            "output_token_details": {"text_tokens": self.words, "audio_tokens": audio},
        }
        ended = self.response(status, status_details=details, output=[done], usage=usage)
        self.send("response.done", response=ended)
        limit = {"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}
        self.send("rate_limits.updated", rate_limits=[limit])
        self.last_item = answer.item_id


class Model:
    """The server."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.sessions: list[ModelSession] = []

    def accept(self, request: WSUpgradeRequest) -> WSListener:
        session = ModelSession(self.ledger)
        self.sessions.append(session)
        return session

    async def start(self) -> int:
        """Listen on a free port of the loopback interface. Returns the port."""
        self.server = await ws_create_server(self.accept, "127.0.0.1", 0, backlog=2048)
        port: int = self.server.sockets[0].getsockname()[1]
        return port

    def rest(self) -> None:
        """Stop all scripts: the bridge must find out by itself that a call has ended."""
        for session in self.sessions:
            session.rest()

    def stop(self) -> None:
        """Stop listening and disconnect every socket."""
        self.server.close()
        for session in self.sessions:
            session.transport.disconnect(False)
