"""A short Realtime session outside of calls: a request, and the model's answer.

OpenAI: Realtime API over WebSocket. The session hears no audio and calls no tools.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from app.call.events import (
    AudioReceived,
    Event,
    ModelFaulted,
    ModelLost,
    ResponseDone,
    TextReceived,
    TranscriptCompleted,
)
from app.call.usage import Usage
from app.errors import ModelError, ProtocolError
from app.wires.realtime.codec import UnknownEvent, decode
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.session_update import to_text
from app.wires.realtime.socket import RealtimeSocket, connect

#: Deadline for the connection and the session's settings together.
OPEN_S = 8.0
#: Messages that are not handled yet; then the socket is no longer read.
_MOST_PENDING = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of a completed response, and what it is billed."""

    text: str
    usage: Usage


#: What an exchange yields of a response.
ExchangeEvent = AudioReceived | TextReceived | TranscriptCompleted | ResponseDone


async def ask(endpoint: Endpoint, instructions: str, message: str, *, deadline_s: float) -> Answer:
    """Ask the model for text, in a session of its own, which is closed in any case.

    Args:
        instructions: Of the session.
        message: What the model answers, as the user's message.
        deadline_s: For everything, from the connection to the end of the response.

    Raises:
        ModelError: there is no complete answer. If it is `fatal`, do not ask again.
    """
    exchange = Exchange(endpoint, instructions)
    texts: dict[str, str] = {}  # by item
    usage = Usage()
    try:
        async with asyncio.timeout(deadline_s):
            await exchange.open(deadline_s)
            async with aclosing(exchange.answer(message=message)) as events:
                async for event in events:
                    match event:
                        case TextReceived(item_id, text):
                            texts[item_id] = texts.get(item_id, "") + text
                        case TranscriptCompleted(item_id, text) if text:
                            texts[item_id] = text  # some servers send no deltas before it
                        case ResponseDone():
                            usage = event.usage
    except TimeoutError:
        raise ModelError(f"the model did not answer within {deadline_s:g} s") from None
    finally:
        exchange.close()
    return Answer("\n".join(filter(None, map(str.strip, texts.values()))), usage)


class Exchange:
    """One session, which answers one request after the other. Await `open` first, and call `close`
    at the end.

    Args:
        instructions: Of the session; empty: the server's default ones.
        voice: The session's `audio.output`, for spoken answers; None: answers are text.
    """

    def __init__(
        self, endpoint: Endpoint, instructions: str = "", voice: dict[str, Any] | None = None
    ) -> None:
        #: Why the session ended; empty: it has not.
        self.lost = ""
        self._endpoint = endpoint
        self._session = _session(instructions, voice)
        self._socket: RealtimeSocket | None = None
        self._pending: deque[bytes] = deque()
        self._news = asyncio.Event()

    async def open(self, deadline_s: float = OPEN_S) -> None:
        """Connect, and wait until the session's settings are in force.

        Raises:
            ModelError: the server cannot be reached, refuses the session or its settings, or misses
                the deadline. The exchange is closed then.
        """
        try:
            async with asyncio.timeout(deadline_s):
                await connect(
                    self._endpoint,
                    on_opened=self._opened,
                    on_message=self._take,
                    on_lost=self._was_lost,
                    on_writable=lambda: None,
                )
                self._send({"type": "session.update", "session": self._session})
                await self._configured()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise ModelError(
                    f"the model did not accept its settings within {deadline_s:g} s; try again"
                ) from None
            raise

    async def answer(
        self, *, message: str = "", instructions: str = ""
    ) -> AsyncGenerator[ExchangeEvent, None]:
        """Request a response, and yield it as it is received, its ResponseDone last.

        Close the generator to drop the rest; that closes the exchange. The payload of an
        AudioReceived has the format of `voice`.

        Args:
            message: Added to the conversation first, as the user's; empty: none.
            instructions: For this response, in place of the session's; empty: the session's.

        Raises:
            ModelError: the response is not completed. The exchange is closed then.
        """
        if message:
            content = [{"type": "input_text", "text": message}]
            item = {"type": "message", "role": "user", "content": content}
            self._send({"type": "conversation.item.create", "item": item})
        response = {"response": {"instructions": instructions}} if instructions else {}
        self._send({"type": "response.create", **response})
        completed = False
        try:
            while not completed:
                event = _decoded(await self._next())
                if isinstance(event, ResponseDone):
                    if event.status != "completed":
                        why = event.reason or "no reason given"
                        raise ModelError(f"the model's response is {event.status}: {why}")
                    completed = True
                if isinstance(event, ExchangeEvent):
                    yield event
        finally:
            if not completed:
                self.close()

    def close(self) -> None:
        """Close the session. Does not wait for the network."""
        self.lost = self.lost or "it was closed"
        self._news.set()
        if self._socket is not None:
            self._socket.close()

    # --- the socket ---

    def _opened(self, socket: RealtimeSocket) -> None:
        self._socket = socket

    def _take(self, message: bytes) -> None:
        self._pending.append(message)
        self._news.set()
        if len(self._pending) >= _MOST_PENDING and self._socket is not None:
            self._socket.pause_reading()

    def _was_lost(self, reason: str) -> None:
        self.lost = reason
        self._news.set()

    def _send(self, event: dict[str, Any]) -> None:
        if self._socket is not None:
            self._socket.send(to_text(event).encode())

    async def _next(self) -> bytes:
        """The next message. Raises ModelError when the session has ended."""
        while not self._pending:
            if self.lost:
                raise ModelError(f"the model's connection ended: {self.lost}")
            self._news.clear()
            await self._news.wait()
        message = self._pending.popleft()
        if not self._pending and self._socket is not None:
            self._socket.resume_reading()
        return message

    async def _configured(self) -> None:
        # `decode` would check a telephone's audio formats: an exchange has others.
        while not _is_session_updated(message := await self._next()):
            _decoded(message)


class _AnyEvent(msgspec.Struct):
    type: str


def _is_session_updated(message: bytes) -> bool:
    try:
        return msgspec.json.decode(message, type=_AnyEvent).type == "session.updated"
    except (ValueError, RecursionError):
        return False  # `decode` reports it


def _decoded(message: bytes) -> Event | None:
    """The event of a message. Raises ModelError for an error event and for a malformed message."""
    try:
        event = decode(message)
    except UnknownEvent:
        return None
    except ProtocolError as error:
        raise ModelError(str(error)) from None
    match event:
        case ModelFaulted(code=code):
            raise ModelError(f"the model reported {code[:80]}")
        case ModelLost(reason=reason, fatal=fatal):
            raise ModelError(f"the model reported {reason[:80]}", fatal=fatal)
    return event


def _session(instructions: str, voice: dict[str, Any] | None) -> dict[str, Any]:
    audio: dict[str, Any] = {"input": {"turn_detection": None}}
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["text" if voice is None else "audio"],
        "audio": audio,
        "tools": [],
        "tool_choice": "none",
    }
    if voice is not None:
        audio["output"] = voice
    if instructions:
        session["instructions"] = instructions
    return session
