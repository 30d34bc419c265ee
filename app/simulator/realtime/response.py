"""One response: its items, streamed with the events and in the order of the Realtime API."""

import asyncio
import base64
import json
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

from app.audio import ULAW_BYTES_PER_MS
from app.simulator.realtime.config import AudioFormat, ResponseConfig, made_up_audio
from app.simulator.realtime.items import Conversation, Item, text_tokens
from app.simulator.realtime.script import Reply
from app.simulator.realtime.wire import Wire

Status = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]
_ARGUMENTS_PER_DELTA = 12


class Response:
    """A response, from `start` until it is done or cancelled.

    Args:
        ask: gets the reply from the brain.
        done: called once, right after `response.done` is sent, with the exception if `ask` or the
            streaming raised one.
        spawn: runs the streaming in a task of the session.
        speed: how many times faster than real time audio is sent, unless the reply says.
        ms_per_character: the length of made-up audio.
    """

    def __init__(
        self,
        wire: Wire,
        conversation: Conversation,
        config: ResponseConfig,
        *,
        ask: Callable[["Response"], Awaitable[Reply]],
        done: Callable[["Response", Exception | None], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        speed: float,
        ms_per_character: int,
    ) -> None:
        self.id = wire.new_id("resp")
        self.config = config
        self.status: Status = "in_progress"
        self.items: list[Item] = []
        #: Loop time of the first audio delta; None before it.
        self.first_audio_at_s: float | None = None
        self._wire = wire
        self._conversation = conversation
        self._ask = ask
        self._done = done
        self._spawn = spawn
        self._speed = speed
        self._ms_per_character = ms_per_character
        self._format = AudioFormat(config.format["type"])
        self._details: dict[str, Any] | None = None
        self._usage: dict[str, Any] | None = None
        self._open: Item | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send `response.created` and start to stream the reply."""
        self._input_tokens = self._conversation.input_tokens()
        self._wire.send("response.created", response=self.wire())
        limit = {"name": "tokens", "limit": 50_000, "remaining": 49_950, "reset_seconds": 0.06}
        self._wire.send("rate_limits.updated", rate_limits=[limit])
        self._task = self._spawn(self._run())

    def cancel(self, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        """Close the open item as incomplete and send `response.done`, unless it is done already."""
        if self.status == "in_progress":
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()
            self._finish("cancelled", {"type": "cancelled", "reason": reason})

    def wire(self) -> dict[str, Any]:
        """The response as the server sends it."""
        config = self.config
        voice = config.voice["id"] if isinstance(config.voice, dict) else config.voice
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._details,
            "output": [item.wire() for item in self.items],
            "conversation_id": self._conversation.id if config.in_conversation else None,
            "output_modalities": [config.modality],
            "max_output_tokens": config.max_output_tokens,
            "audio": {"output": {"format": config.format, "voice": voice}},
            "usage": self._usage,
            "metadata": config.metadata,
        }

    async def _run(self) -> None:
        try:
            reply = await self._ask(self)
            await asyncio.sleep(reply.delay_ms / 1000)
            whole = reply.status == "completed"
            if reply.text or reply.audio is not None:
                await self._say(reply, "completed" if whole or reply.tool_calls else "incomplete")
            for number, (name, arguments) in enumerate(reply.tool_calls, 1):
                cut = not whole and number == len(reply.tool_calls)
                await self._call(name, json.dumps(arguments), cut=cut)
        except Exception as error:
            message = f"The scripted model failed: {type(error).__name__}"
            self._finish("failed", _failure("server_error", message), error)
            return
        if reply.status == "failed":
            message = "The server had an error while processing your request."
            self._finish("failed", _failure(reply.error_code, message))
        elif reply.status == "incomplete":
            self._finish("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        else:
            self._finish("completed", None)

    async def _say(self, reply: Reply, status: str) -> None:
        item = Item(self._wire.new_id("item"), "message", "in_progress", role="assistant")
        self._begin(item)
        audible = self.config.modality == "audio"
        item.part, item.text = ("output_audio" if audible else "output_text"), ""
        item.audio_format = self._format
        part = {"type": "audio", "transcript": ""} if audible else {"type": "text", "text": ""}
        self._send_part("response.content_part.added", item, part=part)
        audio = b""
        if audible:
            made_up_ms = len(reply.text) * self._ms_per_character
            ulaw = made_up_audio(item.id, made_up_ms) if reply.audio is None else reply.audio
            audio = self._format.from_ulaw(ulaw)
        step = reply.delta_ms * self._format.bytes_per_ms
        if not audible:
            pieces = [(word, b"") for word in _words(reply.text)]
        elif reply.words and reply.audio is not None:
            pieces = _timed(reply, audio, step, self._format.bytes_per_ms)
        else:
            pieces = _spread(reply.text, audio, step)
        text_event = f"response.output_{'audio_transcript' if audible else 'text'}.delta"
        speed = self._speed if reply.speed is None else reply.speed
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        sent_ms = 0.0
        for text, chunk in pieces:
            if text:
                item.text += text
                self._send_part(text_event, item, delta=text)
            if chunk:
                if self.first_audio_at_s is None:
                    self.first_audio_at_s = loop.time()
                item.audio += chunk
                delta = base64.b64encode(chunk).decode("ascii")
                self._send_part("response.output_audio.delta", item, delta=delta)
            sent_ms += len(chunk) / self._format.bytes_per_ms if chunk else reply.delta_ms
            due_s = begun_s + sent_ms / 1000 / speed
            await asyncio.sleep(due_s - loop.time())
            await self._wire.writable.wait()
        self._end(status)

    async def _call(self, name: str, arguments: str, *, cut: bool) -> None:
        item = Item(
            self._wire.new_id("item"),
            "function_call",
            "in_progress",
            name=name,
            call_id=self._wire.new_id("call"),
        )
        self._begin(item)
        written = arguments[: len(arguments) // 2] if cut else arguments
        for start in range(0, len(written), _ARGUMENTS_PER_DELTA):
            delta = written[start : start + _ARGUMENTS_PER_DELTA]
            item.arguments += delta
            self._send_call("response.function_call_arguments.delta", item, delta=delta)
            await asyncio.sleep(0)
        self._end("incomplete" if cut else "completed")

    def _begin(self, item: Item) -> None:
        item.response_id = self.id
        self.items.append(item)
        self._open = item
        self._send_item("response.output_item.added", item)
        if self.config.in_conversation:
            self._conversation.add(item)
            self._send_in_conversation("conversation.item.added", item)

    def _end(self, status: str) -> None:
        """Close the open item: send each of its `done` events. Nothing if no item is open."""
        item, self._open = self._open, None
        if item is None:
            return
        item.status = status
        if item.part == "output_audio":
            self._send_part("response.output_audio.done", item)
            self._send_part("response.output_audio_transcript.done", item, transcript=item.text)
            part = {"type": "audio", "transcript": item.text}
            self._send_part("response.content_part.done", item, part=part)
        elif item.part == "output_text":
            self._send_part("response.output_text.done", item, text=item.text)
            part = {"type": "text", "text": item.text}
            self._send_part("response.content_part.done", item, part=part)
        elif item.type == "function_call":
            event = "response.function_call_arguments.done"
            self._send_call(event, item, name=item.name, arguments=item.arguments)
        self._send_item("response.output_item.done", item)
        if self._conversation.get(item.id) is item:
            self._send_in_conversation("conversation.item.done", item)

    def _finish(
        self, status: Status, details: dict[str, Any] | None, error: Exception | None = None
    ) -> None:
        self._end("incomplete")
        self.status, self._details = status, details
        self._usage = None if status == "failed" else self._count_usage()
        self._wire.send("response.done", response=self.wire())
        self._done(self, error)

    def _count_usage(self) -> dict[str, Any]:
        text_in, audio_in = self._input_tokens
        text_in += text_tokens(self.config.instructions + json.dumps(self.config.tools))
        audio_out = sum(round(item.audio_ms / 50) for item in self.items)
        text_out = sum(text_tokens((item.text or "") + item.arguments) for item in self.items)
        # the instructions of an earlier response are cached; the audio of this turn is new
        cached = text_in // 2 if audio_in else 0
        return {
            "total_tokens": text_in + audio_in + text_out + audio_out,
            "input_tokens": text_in + audio_in,
            "output_tokens": text_out + audio_out,
            "input_token_details": {
                "text_tokens": text_in,
                "audio_tokens": audio_in,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": {
                    "text_tokens": cached,
                    "audio_tokens": 0,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
        }

    def _send_item(self, event_type: str, item: Item) -> None:
        index = self.items.index(item)
        self._wire.send(event_type, response_id=self.id, output_index=index, item=item.wire())

    def _send_in_conversation(self, event_type: str, item: Item) -> None:
        previous = self._conversation.previous_id(item)
        self._wire.send(event_type, previous_item_id=previous, item=item.wire())

    def _send_part(self, event_type: str, item: Item, **fields: Any) -> None:
        self._wire.send(
            event_type,
            response_id=self.id,
            item_id=item.id,
            output_index=self.items.index(item),
            content_index=0,
            **fields,
        )

    def _send_call(self, event_type: str, item: Item, **fields: Any) -> None:
        self._wire.send(
            event_type,
            response_id=self.id,
            item_id=item.id,
            output_index=self.items.index(item),
            call_id=item.call_id,
            **fields,
        )


# A text delta and the audio delta after it; either may be empty.
_Piece = tuple[str, bytes]


def _words(text: str) -> list[str]:
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1][:-1]
    return words


def _spread(text: str, audio: bytes, step: int) -> list[_Piece]:
    """Audio in deltas of `step` bytes; without word times the words are spread evenly over them."""
    words, deltas = _words(text), max(1, math.ceil(len(audio) / step))
    pieces, said = [], 0
    for number in range(deltas):
        until = math.ceil(len(words) * (number + 1) / deltas)
        pieces.append(("".join(words[said:until]), audio[number * step : (number + 1) * step]))
        said = until
    return pieces


def _timed(reply: Reply, audio: bytes, step: int, bytes_per_ms: int) -> list[_Piece]:
    """Audio cut where words begin, in deltas of at most `step` bytes.

    Words that begin at the same place share a text delta. Raises ValueError if the words do not
    add up to the reply's text.
    """
    if "".join(word for _, word in reply.words) != reply.text:
        raise ValueError(f"the words of the reply {reply.text[:40]!r} are not its text")
    texts: dict[int, str] = {}
    place = 0
    for ulaw_bytes, word in reply.words:
        # scaled by whole samples; never back, never past the end
        scaled = ulaw_bytes * bytes_per_ms // ULAW_BYTES_PER_MS
        place = min(max(place, scaled), len(audio))
        texts[place] = texts.get(place, "") + word
    ends = [*list(texts)[1:], len(audio)]
    first = min(texts)
    pieces = [("", audio[at : min(at + step, first)]) for at in range(0, first, step)]
    for (begin, text), end in zip(texts.items(), ends, strict=True):
        pieces.append((text, audio[begin : min(begin + step, end)]))
        pieces += [("", audio[at : min(at + step, end)]) for at in range(begin + step, end, step)]
    return pieces


def _failure(code: str, message: str) -> dict[str, Any]:
    error = {"type": "server_error", "code": code, "message": message}
    return {"type": "failed", "error": error}
