"""The v1 transport: sends a request on a connection and receives its sound.

v1 has no cancel, and its frames of sound carry no request id. A text that is dropped before its
last frame therefore costs its connection.
"""

import logging
from uuid import uuid4

import msgspec

from app.errors import ProtocolError
from app.wires.voices.voice import SpokenWord
from app.wires.voices.volcengine import v1_codec as v1
from app.wires.voices.volcengine.connections import Connection
from app.wires.voices.volcengine.errors import service_error
from app.wires.voices.volcengine.settings import VolcengineSettings, given
from app.wires.voices.volcengine.transport import Synthesis, Transport

logger = logging.getLogger(__name__)

PATH = "/api/v1/tts/ws_binary"
# The field must not be empty. The service checks the header's token, so the real one is not
# repeated here.
_PLACEHOLDER_TOKEN = "access_token"


class V1Transport(Transport):
    """A connection takes one request at a time."""

    async def open(self) -> Connection:
        # Volcengine's format, with a semicolon.
        headers = {"Authorization": f"Bearer; {self._settings.access_token}"}
        return await self._connect(PATH, headers, has_session_ids=False)

    def synthesis(self, connection: Connection, text: str, uid: str) -> "V1Request":
        return V1Request(self._settings, connection, text, uid)


class V1Request(Synthesis):
    """One request."""

    def __init__(
        self, settings: VolcengineSettings, connection: Connection, text: str, uid: str
    ) -> None:
        super().__init__(settings, connection, text, uid)
        self._reqid = str(uuid4())
        self._sequence = 0
        self._ended = False
        self._words: tuple[SpokenWord, ...] = ()

    async def start(self) -> None:
        payload = request_json(self._settings, text=self._text, uid=self._uid, reqid=self._reqid)
        frame = v1.build(msgspec.json.encode(payload), compress=self._settings.gzip)
        await self._connection.send(frame)

    async def next_audio(self) -> bytes | None:
        while not self._ended:
            frame = await self._connection.receive(v1.parse)
            if isinstance(frame, v1.Failed):
                raise service_error(
                    frame.code,
                    frame.message,
                    private=self._private,
                    logid=self._connection.logid,
                    reqid=self._reqid,
                )
            if isinstance(frame, v1.Frontend):
                self._add_words(frame)
            if isinstance(frame, v1.Audio):
                self._ended = frame.last
                self._count(frame.sequence)
                return frame.data
        return None

    def take_words(self) -> tuple[SpokenWord, ...]:
        words, self._words = self._words, ()
        return words

    async def cancel(self) -> bool:
        return False  # v1 has no cancel

    def _add_words(self, frame: v1.Frontend) -> None:
        """Timestamps are an extra: the text is said without them as well."""
        try:
            self._words += v1.spoken_words(frame)
        except ProtocolError as error:
            extra = {"logid": self._connection.logid, "error": str(error)}
            logger.info("the voice's timestamps cannot be read", extra=extra)

    def _count(self, sequence: int | None) -> None:
        """Log gaps in the sequence numbers. They are no error: whether numbers may be skipped is
        not documented."""
        if sequence is not None and abs(sequence) != self._sequence + 1:
            extra = {"logid": self._connection.logid, "after": self._sequence, "came": sequence}
            logger.info("gap in the voice's sequence numbers", extra=extra)
        self._sequence = abs(sequence or 0)


def request_json(
    settings: VolcengineSettings, *, text: str, uid: str, reqid: str
) -> dict[str, object]:
    """The JSON of a request. `reqid`: must be unique, else the service rejects it with 3006."""
    return {
        "app": {
            "appid": settings.app_id,
            "token": _PLACEHOLDER_TOKEN,
            "cluster": settings.cluster,
        },
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
                # The service times no SSML.
                "with_timestamp": 1 if settings.text_type == "plain" else None,
                "extra_param": settings.extra_param,
            }
        ),
    }
