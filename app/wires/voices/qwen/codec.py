"""The Qwen realtime wire: what goes out as JSON, what comes back, and which of it is one text's.

DashScope: Qwen-TTS Realtime API, client events and server events. A codec only: it opens nothing.
"""

from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, Union
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from app.errors import ProtocolError, VoiceError

Mode = Literal["commit", "server_commit"]

_OLD_MODEL = "qwen-tts-realtime"  # and its snapshots, named `qwen-tts-realtime-<date>`
_OLD_MODEL_HZ = 24000


@dataclass(frozen=True, slots=True)
class QwenSettings:
    """How a Qwen voice is reached and how it speaks. `url`: ws(s), of the region that the key is
    of. `workspace`: of the key, if it is not the default one.

    `mode`: commit keeps one session from text to text; server_commit takes a new one for each.
    `sample_rate`: Hz. None leaves a setting to the server: `speech_rate` and `pitch_rate` 0.5 to
    2.0, `volume` 0 to 100, `enable_tn` whether numbers and signs are written out first.
    `instructions`, how to speak, are for the model `qwen3-tts-instruct-flash-realtime` only.

    The model `qwen-tts-realtime` speaks at 24000 Hz and knows none of those that may be None: with
    it they are not sent.
    """

    api_key: str = field(repr=False)
    model: str = "qwen3-tts-flash-realtime"
    voice: str = "Cherry"
    mode: Mode = "commit"
    url: str = "wss://dashscope.aliyuncs.com/api-ws/v1/realtime"
    workspace: str = ""
    sample_rate: int = 8000
    language_type: str = "Auto"
    speech_rate: float | None = None
    volume: int | None = None
    pitch_rate: float | None = None
    instructions: str | None = None
    optimize_instructions: bool | None = None
    enable_tn: bool | None = None

    @property
    def address(self) -> str:
        """The url with the model in its query. Raises ValueError for what is no URL."""
        parts = urlsplit(self.url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True)) | {"model": self.model}
        return urlunsplit(parts._replace(query=urlencode(query)))

    @property
    def session(self) -> dict[str, Any]:
        """What `session.update` asks for. `bit_rate` is not among it: PCM has none."""
        old = self.model == _OLD_MODEL or self.model.startswith(f"{_OLD_MODEL}-")
        asked: dict[str, Any] = {
            "voice": self.voice,
            "mode": self.mode,
            "response_format": "pcm",
            "sample_rate": _OLD_MODEL_HZ if old else self.sample_rate,
            "language_type": self.language_type,
        }
        if not old:
            optional = {
                "speech_rate": self.speech_rate,
                "volume": self.volume,
                "pitch_rate": self.pitch_rate,
                "instructions": self.instructions,
                "optimize_instructions": self.optimize_instructions,
                "enable_tn": self.enable_tn,
            }
            asked |= {name: value for name, value in optional.items() if value is not None}
        return asked


class ClientEvents:
    """Writes one connection's events, each with an id that no other of it has."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def update(self, settings: QwenSettings) -> str:
        return self._event("session.update", session=settings.session)

    def append(self, text: str) -> str:
        return self._event("input_text_buffer.append", text=text)

    def commit(self) -> str:
        """In commit mode: say what was appended."""
        return self._event("input_text_buffer.commit")

    def finish(self) -> str:
        """Say what is left and end the session. Not a way to stop it: all of it is paid for."""
        return self._event("session.finish")

    def _event(self, type_: str, **fields: Any) -> str:
        event = {"event_id": f"event_{next(self._numbers)}", "type": type_, **fields}
        return msgspec.json.encode(event).decode()


# --- what the server sends ------------------------------------------------------------------------


class _Session(msgspec.Struct):
    id: str | None = None
    sample_rate: int | None = None
    response_format: str | None = None


class _Response(msgspec.Struct):
    id: str
    status: str | None = None


class _Error(msgspec.Struct):
    code: str | int | None = None
    message: str | None = None


class SessionCreated(msgspec.Struct, tag_field="type", tag="session.created"):
    session: _Session


class SessionUpdated(msgspec.Struct, tag_field="type", tag="session.updated"):
    """The settings that hold, whatever was asked for."""

    session: _Session


class ResponseCreated(msgspec.Struct, tag_field="type", tag="response.created"):
    response: _Response


class AudioDelta(msgspec.Struct, tag_field="type", tag="response.audio.delta", gc=False):
    """`delta`: a piece of the sound; no promise that it holds whole samples."""

    response_id: str
    delta: bytes  # base64 on the wire


class ResponseDone(msgspec.Struct, tag_field="type", tag="response.done"):
    response: _Response


class SessionFinished(msgspec.Struct, tag_field="type", tag="session.finished"):
    pass


class Failed(msgspec.Struct, tag_field="type", tag="error"):
    error: _Error


Event = (
    SessionCreated
    | SessionUpdated
    | ResponseCreated
    | AudioDelta
    | ResponseDone
    | SessionFinished
    | Failed
)

# Known, and nothing that a text waits for: their order is not the same in all of the documentation.
_IGNORED = (
    "input_text_buffer.committed",
    "input_text_buffer.cleared",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.audio.done",
)


class _Ignored(msgspec.Struct, tag_field="type"):
    pass


class _AnyEvent(msgspec.Struct):
    type: str


_ignored = tuple(
    msgspec.defstruct("Ignored", [], bases=(_Ignored,), tag=type_) for type_ in _IGNORED
)
_known: msgspec.json.Decoder[Event | _Ignored]
_known = msgspec.json.Decoder(Union[(Event, *_ignored)])
_any = msgspec.json.Decoder(_AnyEvent)
_TYPES = {each.__struct_config__.tag for each in (*Event.__args__, *_ignored)}
# ValueError covers msgspec's own errors and lone surrogates.
_MALFORMED = (ValueError, RecursionError)


def decode(frame: str | bytes) -> Event | None:
    """Reads one frame; None for an event that says nothing to a text, known or not.

    Raises:
        ProtocolError: no event; whatever the frame was, nothing else is raised. Nothing of the
            frame is in its message.
    """
    if isinstance(frame, bytes):
        raise ProtocolError(f"a binary frame of {len(frame)} bytes came; Qwen sends text only")
    try:
        event = _known.decode(frame)
    except _MALFORMED:
        try:
            type_ = _any.decode(frame).type
        except _MALFORMED:
            raise ProtocolError(f"a frame of {len(frame)} characters is no event") from None
        if type_ in _TYPES:
            raise ProtocolError(f"a malformed {type_} came") from None
        return None
    return None if isinstance(event, _Ignored) else event


# --- what it means --------------------------------------------------------------------------------

# Codes as DashScope has them (`Throttling.RateQuota`, `InternalError.Timeout`, ...), in small
# letters and up to where details begin.
_PASSING = ("throttling", "rate_limit", "internal", "server", "service", "system", "timeout")
_FATAL = ("invalidapikey", "invalid_api_key", "accessdenied", "access_denied", "arrearage")
_UNFIT = ("datainspection", "data_inspection")
_LONGEST_CODE, _LONGEST_MESSAGE = 64, 200


def setup_refused(event: Failed, secret: str) -> VoiceError:
    """An error before `session.updated`: settings that the server does not take, as a rule.
    `secret`: what must not be in the message."""
    code = _code(event)
    told = event.error.message or ""
    if secret:
        told = told.replace(secret, "***")
    told = told[:_LONGEST_MESSAGE]
    reason = ": ".join(each for each in (code, told) if each) or "no reason given"
    if code.lower().startswith(_PASSING):
        return VoiceError(f"Qwen cannot open a session now ({reason})")
    return VoiceError(
        f"Qwen refused the session ({reason}); check the voice's settings", kind="fatal"
    )


def text_refused(event: Failed) -> VoiceError:
    """An error while a text is said. The server's words are left out: they may quote the text."""
    code = _code(event)
    reason = code or "no code given"
    if code.lower().startswith(_FATAL):
        return VoiceError(f"Qwen refuses this account ({reason}); check it", kind="fatal")
    if code.lower().startswith(_UNFIT):
        return VoiceError(f"Qwen does not say this text ({reason})", kind="text")
    return VoiceError(f"Qwen broke off ({reason})")


def _code(event: Failed) -> str:
    code = str(event.error.code or "")[:_LONGEST_CODE]
    return code if code.replace(".", "").replace("_", "").replace("-", "").isalnum() else ""


class Speech:
    """One text's share of a session's events. `over`: the text is said.

    In commit mode it ends with its response. In server_commit mode there may be several, and it
    ends with the session.
    """

    def __init__(self, mode: Mode) -> None:
        self.over = False
        self._ends_with_session = mode == "server_commit"
        self._responses: set[str] = set()
        self._odd = b""

    def take(self, event: Event) -> bytes:
        """The sound that the event brings, in whole samples; most bring none.

        Raises:
            VoiceError: the text cannot be said to its end.
        """
        match event:
            case AudioDelta(response_id, delta) if response_id in self._responses:
                sound = self._odd + delta
                self._odd = sound[len(sound) & ~1 :]
                return sound[: len(sound) & ~1]
            case ResponseCreated(response):
                self._responses.add(response.id)
                self._odd = b""
            case ResponseDone(response) if response.id in self._responses:
                if response.status != "completed":
                    how = "failed" if response.status == "failed" else "did not complete"
                    raise VoiceError(f"Qwen's response {how}")
                self.over = not self._ends_with_session
            case SessionFinished():
                if not self._ends_with_session:
                    raise VoiceError("Qwen ended the session before the text was said")
                self.over = True
            case Failed():
                raise text_refused(event)
        return b""
