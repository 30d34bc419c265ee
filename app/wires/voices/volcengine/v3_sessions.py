"""The v3 transport: one session per text, one session at a time on a connection.

A session can be canceled and its events carry its id, so the connection can be reused after a text
is dropped.
"""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import msgspec

from app.errors import VoiceError
from app.wires.voices.connect import CONNECT_S
from app.wires.voices.volcengine import v3_codec as v3
from app.wires.voices.volcengine.connections import Connection
from app.wires.voices.volcengine.errors import code_in, service_error
from app.wires.voices.volcengine.settings import VolcengineSettings, given
from app.wires.voices.volcengine.transport import Synthesis, Transport

PATH = "/api/v3/tts/bidirection"
#: Deadline for the server's confirmation of a cancel.
CANCEL_S = 0.3
_OK = (0, 20000000)


class V3Transport(Transport):
    """A connection is ready at CONNECTION_STARTED. It takes one session at a time."""

    async def open(self) -> Connection:
        settings = self._settings
        connection = await self._connect(PATH, headers(settings), has_session_ids=True)
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.send(v3.build(v3.START_CONNECTION, compress=settings.gzip))
                reader = _SessionReader(connection, settings.secrets, "")
                await reader.until(lambda event: event.number == v3.CONNECTION_STARTED)
        except TimeoutError:
            self._connections.close_in_background(connection)
            raise VoiceError(
                f"volcengine did not start the connection within {CONNECT_S:g} s"
            ) from None
        except BaseException:
            self._connections.close_in_background(connection)
            raise
        return connection

    def synthesis(self, connection: Connection, text: str, uid: str) -> "V3Session":
        return V3Session(self._settings, connection, text, uid)


class V3Session(Synthesis):
    """One session."""

    def __init__(
        self, settings: VolcengineSettings, connection: Connection, text: str, uid: str
    ) -> None:
        super().__init__(settings, connection, text, uid)
        self._id = str(uuid4())
        self._reader = _SessionReader(connection, self._private, self._id)
        self._started = False

    async def start(self) -> None:
        self._started = True
        await self._send(v3.START_SESSION, session_json(self._settings, uid=self._uid))
        await self._reader.until(lambda event: event.number == v3.SESSION_STARTED)
        task = session_json(self._settings, uid=self._uid, text=self._text)
        await self._send(v3.TASK_REQUEST, task)
        await self._send(v3.FINISH_SESSION, {})

    async def next_audio(self) -> bytes | None:
        event = await self._reader.until(
            lambda event: (
                event.number == v3.SESSION_FINISHED
                or (event.number == v3.AUDIO and bool(event.payload))
            )
        )
        return event.payload if event.number == v3.AUDIO else None

    async def cancel(self) -> bool:
        """Cancel the session. The connection can be reused if the server confirms the cancel
        within `CANCEL_S`."""
        if not self._started:
            return True
        ends = (v3.SESSION_CANCELED, v3.SESSION_FINISHED)
        try:
            async with asyncio.timeout(CANCEL_S):
                await self._send(v3.CANCEL_SESSION, {})
                await self._reader.until(lambda event: event.number in ends)
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


class _SessionReader:
    """Reads a connection's events for one session; skips other sessions' events. `session`: empty
    before any session is started."""

    def __init__(self, connection: Connection, private: tuple[str, ...], session: str) -> None:
        self._connection = connection
        self._private = private
        self._session = session

    async def until(self, wanted: Callable[[v3.Event], bool]) -> v3.Event:
        """The next event that `wanted` accepts.

        Raises:
            VoiceError: the session or the connection fails or ends before.
        """
        while True:
            frame = await self._connection.receive(v3.parse)
            if isinstance(frame, v3.Failed):
                raise self._error(frame.code, frame.message)
            if frame.number in (v3.CONNECTION_FAILED, v3.CONNECTION_FINISHED):
                raise self._error(*_reason(frame))
            if frame.number >= v3.START_SESSION and frame.id != self._session:
                continue
            if frame.number == v3.SESSION_FAILED:
                raise self._error(*_reason(frame))
            if frame.number == v3.SESSION_FINISHED and _reason(frame)[0] not in _OK:
                raise self._error(*_reason(frame))
            if wanted(frame):
                return frame
            if frame.number == v3.SESSION_CANCELED:
                raise VoiceError("volcengine canceled the session without a request")

    def _error(self, code: int, message: str) -> VoiceError:
        return service_error(
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
    """The handshake's headers: credentials and the voice's family."""
    if settings.api_key:
        credentials = {"X-Api-Key": settings.api_key}
    else:
        credentials = {"X-Api-App-Key": settings.app_id, "X-Api-Access-Key": settings.access_token}
    return credentials | {
        "X-Api-Resource-Id": settings.resource_id,
        "X-Api-Connect-Id": str(uuid4()),
        "X-Api-Request-Id": str(uuid4()),
    }


def session_json(
    settings: VolcengineSettings, *, uid: str, text: str | None = None
) -> dict[str, object]:
    """The JSON of START_SESSION, or with a text of TASK_REQUEST."""
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
