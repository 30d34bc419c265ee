"""What a Realtime session does with events: settings, the caller's turns, items, responses.

Source of the rules: OpenAI API reference and guide, Realtime conversations.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from app.audio import base64_size
from app.simulator.realtime.checks import Refusal
from app.simulator.realtime.config import (
    AudioFormat,
    default_config,
    response_config,
    updated_config,
)
from app.simulator.realtime.items import Conversation, Item, decoded_audio, item_from
from app.simulator.realtime.response import Response
from app.simulator.realtime.schema import LONGEST_APPEND_BYTES, check_event
from app.simulator.realtime.script import (
    Brain,
    Options,
    Reply,
    ToolOutput,
    Transcribe,
    TranscriptionFailed,
    Turn,
)
from app.simulator.realtime.transcripts import send_transcript
from app.simulator.realtime.vad import Detector, InputBuffer
from app.simulator.realtime.wire import Wire

_LEAST_COMMIT_MS = 100


class Dialogue:
    """Everything between a client's events and the server's. `wire` must be open by `open`.

    `failures`: what the script raised. `active`: the response that writes to the conversation now.
    """

    def __init__(
        self,
        wire: Wire,
        model: str,
        brain: Brain,
        transcribe: Transcribe | None,
        options: Options,
        *,
        detector: Callable[[], Detector],
        update_delay_ms: float,
    ) -> None:
        self.session_id = wire.new_id("sess")
        self.config = default_config(model)
        self.conversation = Conversation(wire.new_id("conv"))
        self.heard = bytearray()
        self.failures: list[Exception] = []
        self.active: Response | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self._wire = wire
        self._brain, self._transcribe = brain, transcribe
        self._options, self._update_delay_ms = options, update_delay_ms
        self._buffer, self._speech_item_id = InputBuffer(detector), ""
        self._tool_outputs: list[ToolOutput] = []
        self._apart: dict[str, Response] = {}  # out-of-band responses by id
        self._last_heard = asyncio.Event()  # the caller's last words are written down
        self._last_heard.set()
        self._response_over = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []
        self._idle_timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin: the session exists from here on, until it expires."""
        self._expires_at = int(time.time() + self._options.life_s)
        self._later(self._options.life_s, self._expire)
        self._configure(self.config)
        self._wire.send("session.created", session=self._session_object())

    def stop(self) -> None:
        """The socket is gone: let go of everything."""
        for task in self.tasks:
            task.cancel()
        self._stop_idle_timer()
        for timer in self._timers:
            timer.cancel()

    def handle(self, event: Any) -> None:
        """Take a client event. Raises Refusal for one that is wrong, here or now."""
        check_event(event)
        _HANDLERS[event["type"]](self, event)

    def start_speech(self) -> None:
        self._on_speech_started(self._buffer.begin_by_hand())

    def stop_speech(self, transcript: str | None) -> None:
        self._on_speech_stopped(self._buffer.end_by_hand(), transcript)

    def _expire(self) -> None:
        message = "Your session hit the maximum duration of 60 minutes."
        self._wire.send_error("session_expired", message)
        self._wire.close(1001, message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, act))

    # --- settings -------------------------------------------------------------------------------

    def _session_object(self) -> dict[str, Any]:
        identity = {
            "id": self.session_id,
            "object": "realtime.session",
            "expires_at": self._expires_at,
        }
        return {**self.config, **identity}

    def _configure(self, config: dict[str, Any]) -> None:
        self.config = config
        self._buffer.configure(self._input_format, config["audio"]["input"]["turn_detection"])

    def _on_update(self, event: dict[str, Any]) -> None:
        spoken = any(item.part == "output_audio" for item in self.conversation.all_items)
        self._configure(updated_config(self.config, event["session"], spoken=spoken))
        answer = partial(self._wire.send, "session.updated", session=self._session_object())
        if self._update_delay_ms:
            self._later(self._update_delay_ms / 1000, answer)
        else:
            answer()

    @property
    def _input_format(self) -> AudioFormat:
        return AudioFormat(self.config["audio"]["input"]["format"]["type"])

    @property
    def _detection(self) -> dict[str, Any]:
        return self.config["audio"]["input"]["turn_detection"] or {}

    # --- the caller -----------------------------------------------------------------------------

    def _on_append(self, event: dict[str, Any]) -> None:
        if base64_size(event["audio"]) > LONGEST_APPEND_BYTES:
            raise Refusal("invalid_value", "Audio is limited to 15 MiB an event.", "audio")
        data = decoded_audio(event["audio"], "audio")
        if self._options.remembers:
            self.heard += data
        for edge in self._buffer.append(data):
            if edge.started:
                self._on_speech_started(edge.at_ms)
            else:
                self._on_speech_stopped(edge.at_ms)

    def _on_commit(self, _event: dict[str, Any]) -> None:
        pending_ms = self._buffer.pending_ms()
        if pending_ms < _LEAST_COMMIT_MS:
            raise Refusal(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_LEAST_COMMIT_MS}ms of audio, but buffer only has {pending_ms:.2f}ms of audio.",
            )
        audio = self._buffer.take()
        self._buffer.clear()
        self._commit(self._speech_item_id or self._wire.new_id("item"), audio)

    def _on_clear(self, _event: dict[str, Any]) -> None:
        self._buffer.clear()
        self._speech_item_id = ""
        self._wire.send("input_audio_buffer.cleared")

    def _on_speech_started(self, at_ms: int) -> None:
        self._stop_idle_timer()
        self._speech_item_id = self._wire.new_id("item")
        self._wire.send(
            "input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._speech_item_id
        )
        if self.active is not None and self._detection.get("interrupt_response", True):
            self.active.cancel("turn_detected")

    def _on_speech_stopped(self, at_ms: int, transcript: str | None = None) -> None:
        item_id = self._speech_item_id or self._wire.new_id("item")
        self._wire.send("input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=item_id)
        self._commit(item_id, self._buffer.take(at_ms), transcript)
        if self._detection.get("create_response", True):
            self._respond_unasked()

    def _commit(self, item_id: str, audio: bytes, transcript: str | None = None) -> None:
        self._speech_item_id = ""
        item = Item(item_id, "message", role="user", part="input_audio", text=transcript)
        item.audio += audio
        item.audio_format = self._input_format
        previous = self.conversation.last_id()
        self._wire.send("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        self._add(item)
        self._expect_response()
        self._last_heard = asyncio.Event()
        self._spawn(self._write_down(item, self._last_heard))

    async def _write_down(self, item: Item, heard: asyncio.Event) -> None:
        """Get the caller's words, for the brain at once and for the client when it is time."""
        failed: Exception | None = None
        try:
            if item.text is None and self._transcribe is not None:
                words = self._transcribe(item.audio_format.to_ulaw(bytes(item.audio)))
                item.text = await words if inspect.isawaitable(words) else words
        except Exception as error:
            failed = error
            if not isinstance(error, TranscriptionFailed):
                self.failures.append(error)
        finally:
            heard.set()
        if self.config["audio"]["input"]["transcription"] is None:
            return
        if self._options.transcript_after_response:
            await self._response_over.wait()
        await asyncio.sleep(self._options.transcript_delay_ms / 1000)
        send_transcript(self._wire, item, failed=failed is not None)

    # --- items ----------------------------------------------------------------------------------

    def _add(self, item: Item, after: str | None = None) -> None:
        self.conversation.add(item, after)
        previous = self.conversation.previous_id(item)
        for event_type in ("conversation.item.added", "conversation.item.done"):
            self._wire.send(event_type, previous_item_id=previous, item=item.wire())

    def _on_item_create(self, event: dict[str, Any]) -> None:
        item = item_from(event["item"], self._wire.new_id)
        output: ToolOutput | None = None
        if item.type == "function_call_output":
            calls = [i for i in self.conversation.items if i.type == "function_call"]
            call = next((i for i in calls if i.call_id == item.call_id), None)
            if call is None:
                message = f"Tool call ID '{item.call_id}' not found in conversation."
                raise Refusal("invalid_tool_call_id", message)
            output = ToolOutput(item.call_id, call.name, item.output)
        self._add(item, event.get("previous_item_id"))
        if output is not None:
            self._tool_outputs.append(output)

    def _on_item_truncate(self, event: dict[str, Any]) -> None:
        place = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**place, now_s=time.monotonic())
        self._wire.send("conversation.item.truncated", **place)

    def _on_item_delete(self, event: dict[str, Any]) -> None:
        self.conversation.delete(event["item_id"], time.monotonic())
        self._wire.send("conversation.item.deleted", item_id=event["item_id"])

    def _on_item_retrieve(self, event: dict[str, Any]) -> None:
        item = self.conversation.find(event["item_id"], "retrieve")
        self._wire.send("conversation.item.retrieved", item=item.wire(with_audio=True))

    # --- responses ------------------------------------------------------------------------------

    def _on_response_create(self, event: dict[str, Any]) -> None:
        self._respond(event.get("response") or {})

    def _on_response_cancel(self, event: dict[str, Any]) -> None:
        wanted = event.get("response_id")
        response = self._apart.get(wanted) if wanted else self.active
        if self.active is not None and wanted == self.active.id:
            response = self.active
        if response is None:
            raise Refusal(
                "response_cancel_not_active", "Cancellation failed: no active response found"
            )
        response.cancel("client_cancelled")

    def _respond_unasked(self) -> None:
        """Turn detection wants an answer; what stands against it is an error without a cause."""
        try:
            self._respond({})
        except Refusal as refusal:
            self._wire.send_error(refusal.code, refusal.message)

    def _respond(self, params: dict[str, Any]) -> None:
        config = response_config(self.config, params)
        items = None
        if "input" in params:
            items = tuple(
                self.conversation.find(given["id"], "retrieve")
                if given["type"] == "item_reference"
                else item_from(given, self._wire.new_id)
                for given in params["input"]
            )
        if config.in_conversation and self.active is not None:
            raise Refusal(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one.",
            )
        outputs = tuple(self._tool_outputs)
        response = Response(
            self._wire,
            self.conversation,
            config,
            ask=partial(self._ask, items=items, outputs=outputs),
            done=self._on_response_done,
            spawn=self._spawn,
            speed=self._options.speed,
            ms_per_character=self._options.ms_per_character,
        )
        if config.in_conversation:
            if config.kind == "reply":
                self._tool_outputs.clear()
            self._stop_idle_timer()
            self._expect_response()
            self.active = response
        else:
            self._apart[response.id] = response
        response.start()

    def _expect_response(self) -> None:
        """What waits for the next `response.done` waits for one that is still to come."""
        if self._response_over.is_set():
            self._response_over = asyncio.Event()

    async def _ask(
        self, response: Response, *, items: tuple[Item, ...] | None, outputs: tuple[ToolOutput, ...]
    ) -> Reply:
        if response.config.kind == "reply":
            await self._last_heard.wait()
        said = [item.text or "" for item in self.conversation.items if item.role == "user"]
        config = response.config
        reply = self._brain(
            Turn(
                kind=config.kind,
                instructions=config.instructions,
                transcript=said[-1] if said else "",
                items=self.conversation.items if items is None else items,
                tool_outputs=outputs,
                tools=config.tools,
                tool_choice=config.tool_choice,
                metadata=config.metadata,
                in_conversation=config.in_conversation,
                session_id=self.session_id,
            )
        )
        return await reply if inspect.isawaitable(reply) else reply

    def _on_response_done(self, response: Response, error: Exception | None) -> None:
        if error is not None:
            self.failures.append(error)
        if self._apart.pop(response.id, None) is not None:
            return
        self.active = None
        self._response_over.set()
        self._start_idle_timer(response)

    # --- the caller says nothing ----------------------------------------------------------------

    def _start_idle_timer(self, response: Response) -> None:
        """`idle_timeout_ms` runs from where the response would have been played to its end."""
        timeout_ms = self._detection.get("idle_timeout_ms")
        if timeout_ms is None or self._speech_item_id:
            return
        loop = asyncio.get_running_loop()
        audio_s = sum(item.audio_ms for item in response.items) / 1000
        begun_s = response.first_audio_at_s or loop.time()
        played_s = max(0.0, begun_s + audio_s - loop.time())
        begun_ms = round(self._buffer.end_ms)
        self._idle_timer = loop.call_later(
            played_s + timeout_ms / 1000, self._on_idle_timeout, begun_ms
        )

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _on_idle_timeout(self, begun_ms: int) -> None:
        item_id = self._wire.new_id("item")
        self._wire.send(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=begun_ms,
            audio_end_ms=round(self._buffer.end_ms),
            item_id=item_id,
        )
        self._commit(item_id, self._buffer.take(), "")
        self._respond_unasked()


_HANDLERS: dict[str, Callable[[Dialogue, dict[str, Any]], None]] = {
    "session.update": Dialogue._on_update,
    "input_audio_buffer.append": Dialogue._on_append,
    "input_audio_buffer.commit": Dialogue._on_commit,
    "input_audio_buffer.clear": Dialogue._on_clear,
    "conversation.item.create": Dialogue._on_item_create,
    "conversation.item.truncate": Dialogue._on_item_truncate,
    "conversation.item.delete": Dialogue._on_item_delete,
    "conversation.item.retrieve": Dialogue._on_item_retrieve,
    "response.create": Dialogue._on_response_create,
    "response.cancel": Dialogue._on_response_cancel,
}
