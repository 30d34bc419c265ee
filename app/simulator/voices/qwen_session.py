"""One session with the stand-in for Qwen's voices: client events in, sound and events out."""

import asyncio
import json
import math
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any
from unicodedata import east_asian_width

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from app.simulator.voices.mouth import Heard, Mouth, PlanFor, Said
from app.simulator.voices.qwen_settings import DEFAULTS, fault, is_old

# Where server_commit mode cuts. A full stop after a digit waits for more text: it may be a decimal
# point.
_SENTENCE = re.compile(r".*?\w.*?(?:[!?。！？…；\n]+|\.(?=\s)|(?<!\d)\.\Z)\s*", re.DOTALL)
_LATE = "session already started or finished or failed"
_FIELDS = {
    "session.update": {"session"},
    "input_text_buffer.append": {"text"},
    "input_text_buffer.commit": set[str](),
    "input_text_buffer.clear": set[str](),
    "session.finish": set[str](),
}


class QwenSession:
    """One client's session."""

    def __init__(
        self,
        connection: ServerConnection,
        heard: Heard,
        *,
        number: int,
        model: str,
        mouth: Mouth,
        plan: PlanFor,
        on_news: Callable[[], None],
    ) -> None:
        self.id = f"sess_{number:04d}"
        self.model = model
        #: The settings in force.
        self.settings: dict[str, Any] = {**DEFAULTS, "model": model}
        #: The client's events.
        self.received: list[dict[str, Any]] = []
        #: The types of the server's events.
        self.sent: list[str] = []
        #: The messages of `error` events.
        self.errors: list[str] = []
        self._connection = connection
        self._heard, self._mouth, self._plan, self._on_news = heard, mouth, plan, on_news
        self._numbers = count(1)
        self._event_ids: set[str] = set()
        self._buffer = ""
        self._configured = self._started = self._over = False
        self._to_say: asyncio.Queue[str | None] = asyncio.Queue()  # None: the last one

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the handshake, names in lower case."""
        assert self._connection.request is not None
        return {name.lower(): value for name, value in self._connection.request.headers.raw_items()}

    @property
    def open(self) -> bool:
        return self.close_code is None

    @property
    def close_code(self) -> int | None:
        """The code of the close; 1006: the connection broke; None: the socket is open."""
        return self._connection.close_code

    def drop(self) -> None:
        """Break the connection: no close frame."""
        self._connection.transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Close the socket, as a server does with an idle session."""
        await self._connection.close(code)

    async def run(self) -> None:
        """Serve the client until it leaves or the session is finished."""
        await self._send("session.created", session=self._session())
        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(self._speak())
            with suppress(ConnectionClosed):
                async for frame in self._connection:
                    await self._take(frame)
                    self._on_news()
            speaking.cancel()

    # --- client events ---

    async def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            return await self._refuse("invalid_frame", "binary frames are not taken")
        try:
            event = json.loads(frame)
        except ValueError:
            return await self._refuse("invalid_json", "this is not JSON")
        if not isinstance(event, dict):
            return await self._refuse("invalid_json", "an event is an object")
        self.received.append(event)
        event_id, type_ = event.get("event_id"), event.get("type")
        if not isinstance(event_id, str) or not event_id or event_id in self._event_ids:
            return await self._refuse("invalid_event_id", "event_id is missing or was used before")
        self._event_ids.add(event_id)
        fields = event.keys() - {"event_id", "type"}
        if type_ not in _FIELDS or fields != _FIELDS[type_]:
            return await self._refuse("invalid_event", f"{type_} with {sorted(fields)}")
        if self._over or (type_ == "session.update" and (self._started or self._configured)):
            return await self._refuse("invalid_value", _LATE)
        if type_ == "session.update":
            return await self._configure(event["session"])
        if not isinstance(event.get("text", ""), str):
            return await self._refuse("invalid_value", "text is a string")
        self._started = True
        match type_:
            case "input_text_buffer.append":
                self._append(event["text"])
            case "input_text_buffer.commit":
                await self._commit()
            case "input_text_buffer.clear":
                self._buffer = ""
                await self._send("input_text_buffer.cleared")
            case "session.finish":
                self._over = True
                self._say_rest()
                self._to_say.put_nowait(None)

    async def _configure(self, asked: Any) -> None:
        wrong = fault(self.model, asked) if isinstance(asked, dict) else "session is no object"
        if wrong is not None:
            return await self._refuse("invalid_value", wrong)
        self._configured = True
        self.settings |= asked
        await self._send("session.updated", session=self._session())

    def _append(self, text: str) -> None:
        self._buffer += text
        if self.settings["mode"] == "server_commit":
            while sentence := _SENTENCE.match(self._buffer):
                self._buffer = self._buffer[sentence.end() :]
                self._to_say.put_nowait(sentence[0])

    async def _commit(self) -> None:
        if not self._buffer.strip():
            return await self._refuse("invalid_value", "the text buffer is empty")
        await self._send("input_text_buffer.committed", item_id="")
        self._say_rest()

    def _say_rest(self) -> None:
        if self._buffer.strip():
            self._to_say.put_nowait(self._buffer)
        self._buffer = ""

    # --- sound ---

    async def _speak(self) -> None:
        with suppress(ConnectionClosed):
            while (text := await self._to_say.get()) is not None:
                if not await self._say(text):
                    return
            await self._send("session.finished")
            await self._connection.close()

    async def _say(self, text: str) -> bool:
        """Say one segment. Returns whether another may follow."""
        plan = self._plan(text)
        if plan.fault == "refuse":
            await self._fail("the text is refused")
            return False
        hz = self.settings["sample_rate"]
        said = Said(text, self._mouth(text, hz), hz)
        self._heard.said.append(said)
        number = next(self._numbers)
        within = {"response_id": f"resp_{number:04d}", "output_index": 0}
        item_id = f"item_{number:04d}"
        part = {**within, "item_id": item_id, "content_index": 0}
        silent = {"type": "audio", "text": ""}
        try:
            await self._send("response.created", response=self._response(within, "in_progress"))
            await self._send("response.output_item.added", **within, item=_item(item_id, []))
            await self._send("response.content_part.added", **part, part=silent)
            if plan.delay_ms:
                await asyncio.sleep(plan.delay_ms / 1000)
            end = len(said.spoken.pcm)
            if plan.fault:
                end = min(end, plan.fault_after_bytes)
            await self._sound(said, end, plan.chunk_ms, plan.speed, part)
            match plan.fault:
                case "error":
                    await self._fail("synthesis failed")
                    return False
                case "drop":
                    self.drop()
                    return False
                case "stall":
                    await self._connection.wait_closed()
                    raise ConnectionClosed(None, None)
            await self._send("response.audio.done", **part)
            await self._send("response.content_part.done", **part, part=silent)
            done = _item(item_id, [silent], "completed")
            await self._send("response.output_item.done", **within, item=done)
            said.whole = True
            response = self._response(within, "completed", output=[done], usage=self._usage(said))
            await self._send("response.done", response=response)
        except (ConnectionClosed, asyncio.CancelledError):
            said.dropped = not said.whole
            raise
        return True

    async def _sound(
        self, said: Said, end: int, chunk_ms: int, speed: float, part: dict[str, Any]
    ) -> None:
        """Send the first `end` bytes, in chunks of whole samples, at the plan's speed."""
        clock = asyncio.get_running_loop().time
        size = max(2, said.hz * chunk_ms // 1000 * 2)
        began_s = clock()
        for start in range(0, end, size):
            piece = said.spoken.pcm[start : min(end, start + size)]
            await self._send("response.audio.delta", **part, delta=b64encode(piece).decode())
            said.sent_bytes += len(piece)
            due_s = 0.0 if math.isinf(speed) else said.sent_bytes / 2 / said.hz / speed
            await asyncio.sleep(max(0.0, began_s + due_s - clock()) if due_s else 0)

    def _usage(self, said: Said) -> dict[str, Any]:
        """The usage: characters, or with the old model 50 tokens per second of sound."""
        if not is_old(self.model):
            wide = sum(east_asian_width(each) in "WF" for each in said.text)
            return {"characters": len(said.text) + wide}
        sound, text = math.ceil(len(said.spoken.pcm) / 2 / said.hz * 50), len(said.text)
        return {
            "total_tokens": text + sound,
            "input_tokens": text,
            "output_tokens": sound,
            "input_tokens_details": {"text_tokens": text},
            "output_tokens_details": {"text_tokens": 0, "audio_tokens": sound},
        }

    # --- server events ---

    def _session(self) -> dict[str, Any]:
        return {"object": "realtime.session", **self.settings, "id": self.id}

    def _response(self, within: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
        return {
            "id": within["response_id"],
            "object": "realtime.response",
            "conversation_id": "",
            "status": status,
            "modalities": ["text", "audio"],
            "voice": self.settings["voice"],
            "output": [],
            **more,
        }

    async def _fail(self, message: str) -> None:
        self._over = True
        await self._refuse("InternalError", message)

    async def _refuse(self, code: str, message: str) -> None:
        """An error leaves the socket open, as Qwen does."""
        self.errors.append(message)
        await self._send("error", error={"code": code, "message": message})

    async def _send(self, type_: str, **fields: Any) -> None:
        event = {"event_id": f"event_{len(self.sent):06d}", "type": type_, **fields}
        await self._connection.send(json.dumps(event, ensure_ascii=False))
        self.sent.append(type_)
        self._on_news()


def _item(item_id: str, content: list[Any], status: str = "in_progress") -> dict[str, Any]:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }
