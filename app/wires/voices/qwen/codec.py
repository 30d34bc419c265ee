"""The codec of the Qwen-TTS Realtime API: client events, server events, and the events of one text.

DashScope: Qwen-TTS Realtime API, client events and server events. The codec does no I/O.
"""

from itertools import count
from typing import Any, Union

import msgspec

from app.audio import whole_samples
from app.errors import ProtocolError, VoiceError
from app.wires.voices.qwen.errors import text_refused
from app.wires.voices.qwen.settings import Mode, QwenSettings


class ClientEvents:
    """Encodes one connection's client events, with an event_id that is unique on it."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def update(self, settings: QwenSettings) -> str:
        return self._event("session.update", session=settings.session)

    def append(self, text: str) -> str:
        return self._event("input_text_buffer.append", text=text)

    def commit(self) -> str:
        """In commit mode: synthesize the appended text."""
        return self._event("input_text_buffer.commit")

    def finish(self) -> str:
        """Synthesize the remaining text, then end the session. This is no cancel: the rest is
        synthesized and billed."""
        return self._event("session.finish")

    def _event(self, type_: str, **fields: Any) -> str:
        event = {"event_id": f"event_{next(self._numbers)}", "type": type_, **fields}
        return msgspec.json.encode(event).decode()


# --- server events --------------------------------------------------------------------------------


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
    """`session` has the settings in effect, which may differ from those requested."""

    session: _Session


class ResponseCreated(msgspec.Struct, tag_field="type", tag="response.created"):
    response: _Response


class AudioDelta(msgspec.Struct, tag_field="type", tag="response.audio.delta", gc=False):
    response_id: str
    #: PCM, base64 on the wire. It may end within a sample.
    delta: bytes


class ResponseDone(msgspec.Struct, tag_field="type", tag="response.done"):
    response: _Response


class SessionFinished(msgspec.Struct, tag_field="type", tag="session.finished"):
    pass


class Failed(msgspec.Struct, tag_field="type", tag="error"):
    error: _Error

    @property
    def code(self) -> str:
        """Such as `InvalidParameter`; empty: the event has none."""
        return str(self.error.code or "")

    @property
    def message(self) -> str:
        """It may quote the text or a setting."""
        return self.error.message or ""


Event = (
    SessionCreated
    | SessionUpdated
    | ResponseCreated
    | AudioDelta
    | ResponseDone
    | SessionFinished
    | Failed
)

# Known types that are not needed. Their order differs between pages of the documentation.
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
    """Decodes one frame. None: an event that is not needed, or of an unknown type.

    Raises:
        ProtocolError: the frame is not a valid event. No frame raises anything else. The message
            does not quote the frame.
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


# --- one text -------------------------------------------------------------------------------------


class Speech:
    """Picks one text's sound out of a session's events. `feed` each event until `finished`.

    In commit mode the text ends with its response. In server_commit mode it may have several
    responses and ends with the session.
    """

    def __init__(self, mode: Mode) -> None:
        self.finished = False
        self._ends_with_session = mode == "server_commit"
        self._responses: set[str] = set()
        self._odd = b""

    def feed(self, event: Event) -> bytes:
        """The event's sound, in whole samples; empty if it has none.

        Raises:
            VoiceError: the text failed before its end.
        """
        match event:
            case AudioDelta(response_id, delta) if response_id in self._responses:
                sound, self._odd = whole_samples(self._odd + delta)
                return sound
            case ResponseCreated(response):
                self._responses.add(response.id)
                self._odd = b""
            case ResponseDone(response) if response.id in self._responses:
                if response.status != "completed":
                    outcome = "failed" if response.status == "failed" else "did not complete"
                    raise VoiceError(f"Qwen's response {outcome}")
                self.finished = not self._ends_with_session
            case SessionFinished():
                if not self._ends_with_session:
                    raise VoiceError("Qwen ended the session before the text was said")
                self.finished = True
            case Failed():
                raise text_refused(event.code)
        return b""
