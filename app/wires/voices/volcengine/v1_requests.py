"""Volcengine's v1 at work: one request, and its answer to the last frame.

No message cancels a request, and sound carries no request id: what is dropped half-way takes its
connection with it.
"""

import logging
from uuid import uuid4

import msgspec

from app.wires.voices.volcengine import v1_codec as v1
from app.wires.voices.volcengine.connections import Connection, Sockets
from app.wires.voices.volcengine.errors import refusal
from app.wires.voices.volcengine.settings import VolcengineSettings, given

logger = logging.getLogger(__name__)

PATH = "/api/v1/tts/ws_binary"
_ANY_TOKEN = (
    "access_token"  # must not be empty; what counts is the header, so nothing is given away
)


class Requests:
    """The v1 transport of a voice."""

    def __init__(self, settings: VolcengineSettings, sockets: Sockets) -> None:
        self._settings = settings
        self._sockets = sockets

    async def open(self) -> Connection:
        """A connection that takes requests, one after the other. Raises VoiceError."""
        settings = self._settings
        return await self._sockets.open(
            settings.address(PATH),
            # the semicolon is Volcengine's own
            {"Authorization": f"Bearer; {settings.access_token}"},
            tagged=False,
            private=settings.secrets,
            label=settings.label,
        )

    def synthesis(self, connection: Connection, text: str, uid: str) -> "Request":
        return Request(self._settings, connection, text, uid)


class Request:
    """One text on a connection. `begin`, then `more` until it gives None."""

    def __init__(
        self, settings: VolcengineSettings, connection: Connection, text: str, uid: str
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._text = text
        self._uid = uid
        self._reqid = str(uuid4())
        self._sequence = 0
        self._ended = False

    async def begin(self) -> None:
        """Send the request. Raises VoiceError."""
        payload = request_json(self._settings, text=self._text, uid=self._uid, reqid=self._reqid)
        frame = v1.build(msgspec.json.encode(payload), compress=self._settings.gzip)
        await self._connection.send(frame)

    async def more(self) -> bytes | None:
        """The next sound, cut anywhere, perhaps empty; None at the end. Raises VoiceError."""
        while not self._ended:
            frame = await self._connection.receive(v1.parse)
            if isinstance(frame, v1.Failed):
                raise refusal(
                    frame.code,
                    frame.message,
                    private=(self._text, *self._settings.secrets),
                    logid=self._connection.logid,
                    reqid=self._reqid,
                )
            if isinstance(frame, v1.Audio):
                self._ended = frame.last
                self._count(frame.sequence)
                return frame.data
        return None

    async def cancel(self) -> bool:
        """Whether the connection is free again: never, there is no way to stop."""
        return False

    def _count(self, sequence: int | None) -> None:
        """Gaps are told and endured: whether the numbers have any is not documented."""
        if sequence is not None and abs(sequence) != self._sequence + 1:
            extra = {"logid": self._connection.logid, "after": self._sequence, "came": sequence}
            logger.info("voice skipped a number", extra=extra)
        self._sequence = abs(sequence or 0)


def request_json(
    settings: VolcengineSettings, *, text: str, uid: str, reqid: str
) -> dict[str, object]:
    """The JSON of a request. `reqid`: never used before."""
    return {
        "app": {"appid": settings.app_id, "token": _ANY_TOKEN, "cluster": settings.cluster},
        "user": {"uid": uid},
        "audio": given(
            {
                "voice_type": settings.voice_type,
                "encoding": "pcm",
                "speed_ratio": settings.speed_ratio,
                "volume_ratio": settings.volume_ratio,
                "pitch_ratio": settings.pitch_ratio,
                "rate": settings.rate,
                "loudness_ratio": settings.loudness_ratio,
                "emotion": settings.emotion,
                "enable_emotion": settings.enable_emotion,
                "emotion_scale": settings.emotion_scale,
                "explicit_language": settings.explicit_language,
            }
        ),
        "request": given(
            {
                "reqid": reqid,
                "text": text,
                "text_type": settings.text_type,
                "operation": settings.operation,
                "model": settings.model,
                "extra_param": settings.extra_param,
            }
        ),
    }
