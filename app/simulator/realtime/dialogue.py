"""What a Realtime session does with client events: settings, the caller's turns, items.

(OpenAI: Realtime API reference, client events; guide, Realtime conversations)
"""

import asyncio
import inspect
import math
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from app.audio import base64_size
from app.simulator.realtime.checks import Refusal
from app.simulator.realtime.config import AudioFormat, default_config, updated_config
from app.simulator.realtime.items import Conversation, Item, decoded_audio, item_from
from app.simulator.realtime.response import Response
from app.simulator.realtime.responses import Responses
from app.simulator.realtime.schema import LONGEST_APPEND_BYTES, checked_event
from app.simulator.realtime.script import (
    Brain,
    Options,
    Transcribe,
    Transcript,
    TranscriptionFailed,
)
from app.simulator.realtime.transcripts import send_transcript
from app.simulator.realtime.vad import Detector, InputBuffer
from app.simulator.realtime.wire import Wire

_LEAST_COMMIT_MS = 100


class Dialogue:
    """Everything between a client's events and the server's.

    Open the wire, then call `open`; pass every client event to `handle`, and call `stop` when the
    socket is closed.
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
        #: All the audio that the client appended, if the server remembers it.
        self.heard = bytearray()
        #: What runs for this session now.
        self.tasks: set[asyncio.Task[None]] = set()
        self._responses = Responses(
            wire,
            self.conversation,
            brain,
            options,
            session_id=self.session_id,
            spawn=self._spawn,
            recognize=self._recognize_input,
            on_start=self._stop_idle_timer,
            on_done=self._start_idle_timer,
        )
        self._wire = wire
        self._transcribe = transcribe
        self._options, self._update_delay_ms = options, update_delay_ms
        self._buffer, self._speech_item_id = InputBuffer(detector), ""
        self._timers: list[asyncio.TimerHandle] = []
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> Response | None:
        """The response that writes to the conversation now."""
        return self._responses.active

    @property
    def failures(self) -> list[Exception]:
        """What the brain or the transcription raised."""
        return self._responses.failures

    def open(self) -> None:
        """Start the session: send `session.created` and set the timer of its expiry."""
        says_s = self._options.says_life_s
        life_s = self._options.life_s
        self._expires_at = int(time.time() + life_s) if says_s is None else time.time() + says_s
        self._later(self._options.life_s, self._expire)
        self._configure(self.config)
        self._wire.send("session.created", session=self._session_object())

    def stop(self) -> None:
        """The socket is closed: cancel every task and timer."""
        for task in self.tasks:
            task.cancel()
        self._stop_idle_timer()
        for timer in self._timers:
            timer.cancel()

    def handle(self, event: Any) -> None:
        """Take a client event.

        Raises Refusal for an event that the schema or the session's state does not allow: send it
        as an `error` event.
        """
        event = checked_event(event)
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
        if self._detection.get("interrupt_response", True):
            self._responses.interrupt()

    def _on_speech_stopped(self, at_ms: int, transcript: str | None = None) -> None:
        item_id = self._speech_item_id or self._wire.new_id("item")
        self._wire.send("input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=item_id)
        self._commit(item_id, self._buffer.take(at_ms), transcript)
        if self._detection.get("create_response", True):
            self._respond_to_turn()

    def _commit(self, item_id: str, audio: bytes, transcript: str | None = None) -> None:
        self._speech_item_id = ""
        item = Item(item_id, "message", role="user", part="input_audio", text=transcript)
        item.audio += audio
        item.audio_format = self._input_format
        previous = self.conversation.last_id()
        self._wire.send("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        self._add(item)
        self._responses.expect()
        self._transcribe_soon(item)

    # --- transcripts ----------------------------------------------------------------------------

    def _transcribe_soon(self, item: Item) -> None:
        transcribed = asyncio.Event()
        self._responses.transcribing.add(transcribed)
        self._spawn(self._transcribed(item, transcribed))

    async def _transcribed(self, item: Item, transcribed: asyncio.Event) -> None:
        """Transcribe a turn: the brain gets the text at once, the client when the options and the
        transcript say."""
        try:
            heard = await self._recognize(item)
        finally:
            self._responses.transcribing.discard(transcribed)
            transcribed.set()
        late_ms = max((words.delay_ms for words in heard.values()), default=0.0)
        delay_ms = self._options.transcript_delay_ms + late_ms
        if self.config["audio"]["input"]["transcription"] is None or delay_ms == math.inf:
            return
        if self._options.transcript_after_response:
            await self._responses.wait_done()
        await asyncio.sleep(delay_ms / 1000)
        for index, words in heard.items():
            size = len(item.sounds.get(index, item.audio))
            send_transcript(
                self._wire,
                item,
                words.text,
                size / item.audio_format.bytes_per_ms,
                content_index=index,
                failed=words.failed,
            )

    async def _recognize(self, item: Item) -> dict[int, Transcript]:
        """Put what is said in an item into its text.

        Returns the transcript of each part of speech by its content index.
        """
        if item.part:  # from the input buffer
            if item.text is None:
                heard = await self._recognized(bytes(item.audio), item.audio_format)
                item.text = heard.text
                return {0: heard}
            return {0: Transcript(item.text)}
        heard_in = {
            index: await self._recognized(sound, item.audio_format)
            for index, sound in item.sounds.items()
        }
        if heard_in and self._transcribe is not None:
            silent = Transcript("")
            texts = [
                part.get("text") or heard_in.get(n, silent).text
                for n, part in enumerate(item.content)
            ]
            item.text = " ".join(text for text in texts if text)
        return heard_in

    async def _recognize_input(self, item: Item) -> None:
        await self._recognize(item)

    async def _recognized(self, audio: bytes, audio_format: AudioFormat) -> Transcript:
        if self._transcribe is None:
            return Transcript("")
        try:
            words = self._transcribe(audio_format.to_ulaw(audio))
            words = await words if inspect.isawaitable(words) else words
            return words if isinstance(words, Transcript) else Transcript(words)
        except Exception as error:
            if not isinstance(error, TranscriptionFailed):
                self.failures.append(error)
            return Transcript("", failed=True)

    # --- items ----------------------------------------------------------------------------------

    def _add(self, item: Item, after: str | None = None) -> None:
        self.conversation.add(item, after)
        previous = self.conversation.previous_id(item)
        for event_type in ("conversation.item.added", "conversation.item.done"):
            self._wire.send(event_type, previous_item_id=previous, item=item.wire())

    def _on_item_create(self, event: dict[str, Any]) -> None:
        item = item_from(event["item"], self._wire.new_id, self._input_format)
        call: Item | None = None
        if item.type == "function_call_output":
            calls = [i for i in self.conversation.items if i.type == "function_call"]
            call = next((i for i in calls if i.call_id == item.call_id), None)
            if call is None:
                message = f"Tool call ID '{item.call_id}' not found in conversation."
                raise Refusal("invalid_tool_call_id", message)
        self._add(item, event.get("previous_item_id"))
        if call is not None:
            self._responses.add_output(item, call)
        if item.sounds:
            self._transcribe_soon(item)

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
        self._responses.create(self.config, event.get("response") or {})

    def _on_response_cancel(self, event: dict[str, Any]) -> None:
        self._responses.cancel(event.get("response_id"))

    def _respond_to_turn(self) -> None:
        """Create a response because the caller's turn ended. A refusal has no client event that
        caused it."""
        try:
            self._responses.create(self.config, {})
        except Refusal as refusal:
            self._wire.send_error(refusal.code, refusal.message)

    # --- the caller is silent --------------------------------------------------------------------

    def _start_idle_timer(self, response: Response) -> None:
        """Start `idle_timeout_ms`: it counts from when the response would have been played.

        (OpenAI: session.update, `turn_detection.idle_timeout_ms`)
        """
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
        self._respond_to_turn()


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
