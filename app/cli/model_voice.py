"""The model's own voice as a `Voice`: a Realtime session that only says given texts.

For `python -m app voices`, which records voices and compares them. A call does not use it: there
the model speaks in the session that holds the conversation. OpenAI: Realtime API, WebSocket.
"""

import asyncio
import base64
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.call import prompts
from app.errors import ModelError, VoiceError
from app.wires.realtime.session_update import to_text
from app.wires.realtime.socket import HandshakeRefused, RealtimeSocket, connect
from app.wires.voices.voice import Sound, Sounds, VoiceLine

HZ = 24000  # OpenAI: the only rate of audio/pcm
CONFIGURED_S = 8.0
_MOST_HELD = 256  # messages that `next` has not returned; then the socket is no longer read


@dataclass(frozen=True, slots=True)
class ModelVoiceSettings:
    """Where the model is, and how it speaks."""

    #: ws(s) address of the Realtime endpoint, without query.
    url: str
    model: str
    api_key: str = field(repr=False)
    #: `name` and `speed` as in the agent file's [voice].
    name: str
    speed: float = 1.0


class ModelVoice:
    """The model's voice; implements `Voice`. Each line has its own Realtime session."""

    def __init__(self, settings: ModelVoiceSettings) -> None:
        self._settings = settings
        self._lines: set[ModelVoiceLine] = set()

    @property
    def label(self) -> str:
        return f"openai/{self._settings.name}"

    def line(self) -> VoiceLine:
        line = ModelVoiceLine(self._settings, self._lines)
        self._lines.add(line)
        return line

    async def aclose(self) -> None:
        for line in list(self._lines):
            await line.aclose()


class ModelVoiceLine:
    """One line; implements `VoiceLine`. A session says one text after the other. If a text is
    stopped before its end, the session is closed, and the next text opens another."""

    def __init__(self, settings: ModelVoiceSettings, lines: "set[ModelVoiceLine]") -> None:
        self._settings = settings
        self._lines = lines  # of its voice; `aclose` removes this one
        self._session: _Session | None = None

    async def prepare(self) -> None:
        with suppress(VoiceError):
            await self._opened()

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        session = await self._opened()
        whole = False
        try:
            session.send({"type": "response.create", "response": _exactly(text)})
            while not whole:
                message = await session.next()
                match message.type:
                    case "response.output_audio.delta" | "response.audio.delta":
                        pcm = _samples(message.delta)
                        if pcm:
                            yield Sound(pcm, HZ)
                    case "response.done":
                        _check(message)
                        whole = True
        finally:
            if not whole:
                self._session = None
                session.close()

    async def aclose(self) -> None:
        self._lines.discard(self)
        if self._session is not None:
            self._session.close()
            self._session = None

    async def _opened(self) -> "_Session":
        """The session, configured; opens one if there is none, or if it was lost.

        Raises:
            VoiceError: the session cannot be opened.
        """
        if self._session is None or self._session.lost:
            session = _Session()
            try:
                await session.open(self._settings)
            except BaseException:
                session.close()
                raise
            self._session = session
        return self._session


# --- the wire -------------------------------------------------------------------------------------


class _Error(msgspec.Struct):
    code: str | None = None
    type: str | None = None

    @property
    def name(self) -> str:
        return (self.code or self.type or "an error")[:80]


class _StatusDetails(msgspec.Struct):
    reason: str | None = None
    error: _Error | None = None


class _Response(msgspec.Struct):
    status: str
    status_details: _StatusDetails | None = None


class _Message(msgspec.Struct):
    type: str
    delta: Any = None
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Session:
    """One Realtime session, and the messages that `next` has not returned yet."""

    def __init__(self) -> None:
        #: Why the connection ended; empty while it is open.
        self.lost = ""
        self._socket: RealtimeSocket | None = None
        self._held: deque[bytes] = deque()
        self._news = asyncio.Event()

    async def open(self, settings: ModelVoiceSettings) -> None:
        """Connect, and wait for `session.updated`. Call `close` if this raises.

        Raises:
            VoiceError: no connection, or no `session.updated` within `CONFIGURED_S`.
        """
        try:
            async with asyncio.timeout(CONFIGURED_S):
                await connect(
                    settings.url,
                    settings.model,
                    settings.api_key,
                    on_opened=self._opened,
                    on_message=self._took,
                    on_lost=self._was_lost,
                    on_writable=lambda: None,
                )
                self.send({"type": "session.update", "session": _session(settings)})
                while (await self.next()).type != "session.updated":
                    pass
        except HandshakeRefused as error:
            raise VoiceError(str(error), kind="fatal" if error.fatal else "passing") from None
        except ModelError as error:
            raise VoiceError(str(error)) from None
        except TimeoutError:
            raise VoiceError(
                f"the model did not accept its settings within {CONFIGURED_S:g} s; try again"
            ) from None

    def send(self, event: dict[str, Any]) -> None:
        if self._socket is not None:
            self._socket.send(to_text(event).encode())

    async def next(self) -> _Message:
        """The next message from the model.

        Raises:
            VoiceError: it is an error event, it is malformed, or the connection ended.
        """
        while not self._held:
            if self.lost:
                raise VoiceError(f"the model's connection ended: {self.lost}")
            self._news.clear()
            await self._news.wait()
        data = self._held.popleft()
        if not self._held and self._socket is not None:
            self._socket.resume_reading()
        try:
            message = msgspec.json.decode(data, type=_Message)
            if message.type == "error":
                error = msgspec.json.decode(message.error, type=_Error)
                raise VoiceError(f"the model reported {error.name}")
        except (ValueError, RecursionError):
            raise VoiceError("the model sent a malformed event") from None
        return message

    def close(self) -> None:
        self.lost = self.lost or "it was closed"
        if self._socket is not None:
            self._socket.close()

    def _opened(self, socket: RealtimeSocket) -> None:
        self._socket = socket

    def _took(self, data: bytes) -> None:
        self._held.append(data)
        self._news.set()
        if len(self._held) >= _MOST_HELD and self._socket is not None:
            self._socket.pause_reading()

    def _was_lost(self, reason: str) -> None:
        self.lost = reason
        self._news.set()


def _session(settings: ModelVoiceSettings) -> dict[str, Any]:
    output: dict[str, Any] = {
        "format": {"type": "audio/pcm", "rate": HZ},
        "voice": settings.name,
    }
    if settings.speed != 1.0:
        output["speed"] = settings.speed
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {"input": {"turn_detection": None}, "output": output},
        "tools": [],
        "tool_choice": "none",
    }


def _exactly(text: str) -> dict[str, Any]:
    return {"instructions": prompts.say(text), "output_modalities": ["audio"]}


def _samples(delta: object) -> bytes:
    try:
        pcm = base64.b64decode(str(delta), validate=True)
    except ValueError:
        raise VoiceError("the model sent audio that is not base64") from None
    return pcm[: len(pcm) & ~1]


def _check(message: _Message) -> None:
    """Raises VoiceError for a response that is not completed."""
    try:
        response = msgspec.json.decode(message.response, type=_Response)
    except (ValueError, RecursionError):
        raise VoiceError("the model sent a malformed response.done") from None
    if response.status != "completed":
        details = response.status_details or _StatusDetails()
        why = (details.error.name if details.error else details.reason) or "no reason given"
        raise VoiceError(f"the model's response is {response.status}: {why}")
