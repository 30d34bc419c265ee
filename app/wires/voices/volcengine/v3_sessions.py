"""Volcengine's v3 at work: one session for each text, one after the other on a connection.

A session can be canceled, and every event names its own: the connection survives an interruption.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import msgspec

from app.errors import VoiceError
from app.wires.voices.volcengine import v3_codec as v3
from app.wires.voices.volcengine.connections import CONNECT_S, Connection, Sockets
from app.wires.voices.volcengine.errors import code_in, refusal
from app.wires.voices.volcengine.settings import VolcengineSettings, given

PATH = "/api/v3/tts/bidirection"
CANCEL_S = 0.3  # how long the end of a canceled session is waited for, in the background
_OK = (0, 20000000)


class Sessions:
    """The v3 transport of a voice."""

    def __init__(self, settings: VolcengineSettings, sockets: Sockets) -> None:
        self._settings = settings
        self._sockets = sockets

    async def open(self) -> Connection:
        """A connection that takes sessions. Raises VoiceError."""
        settings = self._settings
        connection = await self._sockets.open(
            settings.address(PATH),
            headers(settings),
            tagged=True,
            private=settings.secrets,
            label=settings.label,
        )
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.send(v3.build(v3.START_CONNECTION, compress=settings.gzip))
                reading = _Reading(connection, settings.secrets, "")
                await reading.until(lambda event: event.number == v3.CONNECTION_STARTED)
        except TimeoutError:
            self._sockets.goodbye(connection)
            raise VoiceError(f"volcengine started nothing within {CONNECT_S:g} s") from None
        except BaseException:
            self._sockets.goodbye(connection)
            raise
        return connection

    def synthesis(self, connection: Connection, text: str, uid: str) -> "TtsSession":
        return TtsSession(self._settings, connection, text, uid)


class TtsSession:
    """One text on a connection. `begin`, then `more` until it gives None, or `cancel`."""

    def __init__(
        self, settings: VolcengineSettings, connection: Connection, text: str, uid: str
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._text = text
        self._uid = uid
        self._id = str(uuid4())
        self._reading = _Reading(connection, (text, *settings.secrets), self._id)
        self._begun = False

    async def begin(self) -> None:
        """Start the session and hand over the text. Raises VoiceError."""
        self._begun = True
        await self._send(v3.START_SESSION, session_json(self._settings, uid=self._uid))
        await self._reading.until(lambda event: event.number == v3.SESSION_STARTED)
        task = session_json(self._settings, uid=self._uid, text=self._text)
        await self._send(v3.TASK_REQUEST, task)
        await self._send(v3.FINISH_SESSION, {})

    async def more(self) -> bytes | None:
        """The next sound, cut anywhere, perhaps empty; None at the end. Raises VoiceError."""
        event = await self._reading.until(
            lambda event: (
                event.number == v3.SESSION_FINISHED
                or (event.number == v3.AUDIO and bool(event.payload))
            )
        )
        return event.payload if event.number == v3.AUDIO else None

    async def cancel(self) -> bool:
        """Stop what is not made yet. Whether the connection is free again, which takes until the
        server agrees, at most `CANCEL_S`."""
        if not self._begun:
            return True
        ends = (v3.SESSION_CANCELED, v3.SESSION_FINISHED)
        try:
            async with asyncio.timeout(CANCEL_S):
                await self._send(v3.CANCEL_SESSION, {})
                await self._reading.until(lambda event: event.number in ends)
        except (TimeoutError, VoiceError):
            return False
        return True

    async def _send(self, event: int, payload: dict[str, object]) -> None:
        frame = v3.build(
            event,
            msgspec.json.encode(payload),
            session=self._id,
            compress=self._settings.gzip,
        )
        await self._connection.send(frame)


class _Reading:
    """Reads a connection for one session, or for none: what belongs to another is passed over."""

    def __init__(self, connection: Connection, private: tuple[str, ...], session: str) -> None:
        self._connection = connection
        self._private = private
        self._session = session

    async def until(self, wanted: Callable[[v3.Event], bool]) -> v3.Event:
        """The next event that is wanted. Raises VoiceError: something ends before."""
        while True:
            frame = await self._connection.receive(v3.parse)
            if isinstance(frame, v3.Failed):
                raise self._refusal(frame.code, frame.message)
            if frame.number in (v3.CONNECTION_FAILED, v3.CONNECTION_FINISHED):
                raise self._refusal(*_reason(frame))
            if frame.number >= v3.START_SESSION and frame.id != self._session:
                continue
            if frame.number == v3.SESSION_FAILED:
                raise self._refusal(*_reason(frame))
            if frame.number == v3.SESSION_FINISHED and _reason(frame)[0] not in _OK:
                raise self._refusal(*_reason(frame))
            if wanted(frame):
                return frame
            if frame.number == v3.SESSION_CANCELED:
                raise VoiceError("volcengine canceled the session by itself")

    def _refusal(self, code: int, message: str) -> VoiceError:
        return refusal(
            code,
            message,
            private=self._private,
            logid=self._connection.logid,
            session=self._session,
        )


def _reason(event: v3.Event) -> tuple[int, str]:
    body = event.payload.decode("utf-8", "replace")
    return code_in(body), body


def headers(settings: VolcengineSettings) -> dict[str, str]:
    """The handshake's headers: who asks, and for which family of voices."""
    if settings.api_key:
        who = {"X-Api-Key": settings.api_key}
    else:
        who = {"X-Api-App-Key": settings.app_id, "X-Api-Access-Key": settings.access_token}
    return who | {
        "X-Api-Resource-Id": settings.resource_id,
        "X-Api-Connect-Id": str(uuid4()),
        "X-Api-Request-Id": str(uuid4()),
    }


def session_json(
    settings: VolcengineSettings, *, uid: str, text: str | None = None
) -> dict[str, object]:
    """The JSON that starts a session, or with a text what is to be said in it."""
    audio = given(
        {
            "format": "pcm",
            "sample_rate": settings.rate,
            "emotion": settings.emotion,
            "emotion_scale": settings.emotion_scale,
            "speech_rate": settings.speech_rate,
            "loudness_rate": settings.loudness_rate,
        }
    )
    return {
        "user": {"uid": uid},
        "event": v3.START_SESSION if text is None else v3.TASK_REQUEST,
        "namespace": "BidirectionalTTS",
        "req_params": given(
            {
                "text": text,
                "speaker": settings.voice_type,
                "audio_params": audio,
                "model": settings.model,
                "additions": settings.additions,
            }
        ),
    }
