"""A Realtime session that finds out whether calls would work: key, model, audio format, settings
and transcription.

OpenAI: Realtime API over WebSocket. The session is configured as a call's is, gets a second of
audio, and creates no response.
"""

import asyncio
import json
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from app.call.agent import Agent
from app.call.optional_settings import PART_OF, Setting
from app.errors import ModelError
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.refusals import FATAL, refused_setting
from app.wires.realtime.session_update import session_update
from app.wires.realtime.socket import RealtimeSocket, connect

_MULAW = "audio/pcmu"
_UPDATE = "probe_update"
_COMMIT = "probe_commit"
#: µ-law silence of one second: 8000 Hz, 1 byte per sample.
_SILENCE = b64encode(b"\xff" * 8000).decode()
_TRANSCRIPTION = "conversation.item.input_audio_transcription."
_MOST_REFUSED = 14
#: An error that ends the session, whatever was asked.
_UNUSABLE = FATAL | {"model_not_found", "invalid_model", "access_terminated"}


@dataclass(slots=True)
class Probed:
    """What a session showed."""

    #: From the first packet to the accepted settings, ms.
    opened_ms: float = 0.0
    #: The server's words about each optional setting that it refused.
    refused: dict[Setting, str] = field(default_factory=dict)
    #: Why audio cannot flow: the server's words, or the format it uses instead. Empty: it can.
    format_fault: str = ""
    #: Why the transcription model does not work; empty: it does, or there is none.
    transcription_fault: str = ""
    #: No transcript and no error came in time.
    transcription_silent: bool = False


async def probe(
    endpoint: Endpoint, agent: Agent, *, speaks: bool, deadline_s: float = 10.0
) -> Probed:
    """Open a session as a call of this agent does, and see what the server makes of it.

    Args:
        speaks: the model speaks itself, not an external voice.
        deadline_s: for each of the two parts: the settings, and the transcript.

    Raises:
        ModelError: there is no session: the server cannot be reached, or it refuses the key or the
            model. `fatal` as of calls.
    """
    session = _Session(endpoint, agent, speaks)
    try:
        try:
            async with asyncio.timeout(deadline_s):
                await session.open()
        except TimeoutError:
            raise ModelError(
                f"the model did not accept a session within {deadline_s:g} s"
            ) from None
        if session.found.format_fault or "transcription" in session.found.refused:
            return session.found
        if agent.transcription.model:
            try:
                async with asyncio.timeout(deadline_s):
                    await session.transcribe()
            except TimeoutError:
                session.found.transcription_silent = True
        return session.found
    finally:
        session.close()


class _Session:
    def __init__(self, endpoint: Endpoint, agent: Agent, speaks: bool) -> None:
        self.found = Probed()
        self._endpoint = endpoint
        self._agent = agent
        self._speaks = speaks
        self._socket: RealtimeSocket | None = None
        self._messages: deque[bytes] = deque()
        self._lost = ""
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Connect and configure; settings that are refused are left out, one after the other."""
        started = monotonic()
        await connect(
            self._endpoint,
            on_opened=self._opened,
            on_message=self._take,
            on_lost=self._was_lost,
            on_writable=lambda: None,
        )
        while not await self._configured():
            pass
        self.found.opened_ms = (monotonic() - started) * 1000

    async def transcribe(self) -> None:
        """Send a second of silence, and wait for what the transcription makes of it."""
        self._send({"type": "input_audio_buffer.append", "audio": _SILENCE})
        self._send({"type": "input_audio_buffer.commit", "event_id": _COMMIT})
        while True:
            event = await self._next()
            if event.get("type") == f"{_TRANSCRIPTION}completed":
                return
            error = event.get("error")
            if event.get("type") == f"{_TRANSCRIPTION}failed" or (
                isinstance(error, Mapping) and error.get("event_id") == _COMMIT
            ):
                self.found.transcription_fault = _words(error) or "it failed"
                return

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    async def _configured(self) -> bool:
        """Send the settings. False: one of them was refused, and is to be left out.

        Raises:
            ModelError: the server refuses the session.
        """
        without = tuple(self.found.refused)
        update = session_update(self._agent, _UPDATE, speaks=self._speaks, without=without)
        self._send_text(update)
        while True:
            event = await self._next()
            if event.get("type") == "session.updated":
                self.found.format_fault = _other_format(event.get("session"))
                return True
            error = event.get("error")
            if event.get("type") == "error" and isinstance(error, Mapping):
                return self._refused(error)

    def _refused(self, error: Mapping[str, Any]) -> bool:
        code, words = str(error.get("code") or error.get("type") or ""), _words(error)
        if code in _UNUSABLE:
            raise ModelError(words, fatal=True)
        setting = refused_setting(error.get("param"), words)
        if setting == "required" and "format" in f"{error.get('param')} {words}":
            self.found.format_fault = words
            return True
        if not setting or setting == "required" or setting in self.found.refused:
            raise ModelError(f"the model refused the session's settings: {words}")
        self.found.refused[setting] = words
        for part, whole in PART_OF.items():
            if whole == setting:
                self.found.refused.pop(part, None)
        if len(self.found.refused) > _MOST_REFUSED:
            raise ModelError(f"the model refused the session's settings: {words}")
        return False

    # --- the socket ---

    def _opened(self, socket: RealtimeSocket) -> None:
        self._socket = socket

    def _take(self, message: bytes) -> None:
        self._messages.append(message)
        self._news.set()

    def _was_lost(self, reason: str) -> None:
        self._lost = reason
        self._news.set()

    def _send(self, event: Mapping[str, Any]) -> None:
        self._send_text(json.dumps(event))

    def _send_text(self, text: str) -> None:
        if self._socket is not None:
            self._socket.send(text.encode())

    async def _next(self) -> dict[str, Any]:
        """The next event. Raises ModelError when the session has ended."""
        while not self._messages:
            if self._lost:
                raise ModelError(f"the model's connection ended: {self._lost}")
            self._news.clear()
            await self._news.wait()
        try:
            event = json.loads(self._messages.popleft())
        except (ValueError, RecursionError):
            event = None
        return event if isinstance(event, dict) else {}


def _words(error: object) -> str:
    """The server's own words, on one line."""
    if not isinstance(error, Mapping):
        return ""
    said = str(error.get("message") or error.get("code") or "no reason given")
    return " ".join(said.split())[:300].rstrip(".")


def _other_format(session: object) -> str:
    """What audio the session has in place of µ-law; empty: µ-law both ways."""
    audio = session.get("audio") if isinstance(session, Mapping) else None
    if not isinstance(audio, Mapping):
        return ""  # a compatible server that does not repeat its settings
    for way in ("input", "output"):
        part = audio.get(way)
        given = part.get("format") if isinstance(part, Mapping) else None
        kind = given.get("type") if isinstance(given, Mapping) else given
        if kind is not None and kind not in (_MULAW, "g711_ulaw"):
            return f"its {way} is {kind} although {_MULAW} was asked for"
    return ""
