"""The codec of Twilio's media stream: decodes messages, encodes commands.

Twilio: Media Streams, WebSocket messages. The codec keeps no state of the call and does no I/O.
`Media` arrives fifty times a second; it is a msgspec struct because creating one takes a tenth of
the time of a frozen dataclass.
"""

import json
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import convert

from app.audio import base64_length
from app.call.commands import ClearAudio, PlayAudio, SendMark, ToStream
from app.call.events import DigitPressed, MarkEchoed, StreamEnded
from app.errors import ProtocolError

LONGEST_FRAME_BYTES = 7680
"""The most audio in one message to Twilio, after decoding: 960 ms. Whole frames of 20 ms, and a
multiple of 3, so that base64 text can be split there."""

_LONGEST_FRAME_CHARS = base64_length(LONGEST_FRAME_BYTES)
_DIGITS = frozenset("0123456789*#ABCD")
_CALLER_TRACKS = ("inbound", "inbound_track")


class UnknownMessage(ProtocolError):
    """A well-formed message of an unknown event type. `type`: the event type as received."""

    def __init__(self, type: str) -> None:
        super().__init__(f"Twilio sent an unknown media stream event {type[:60]!r}; it was ignored")
        self.type = type


class Media(msgspec.Struct, frozen=True, gc=False):
    """A frame of the caller's audio."""

    #: Base64 of µ-law.
    payload: str
    #: The decoded payload, not empty. One byte is one sample.
    ulaw: bytes
    #: Milliseconds since the stream started, as Twilio writes it; not validated, because only
    #: recordings use it.
    timestamp: Any = ""


@dataclass(frozen=True, slots=True)
class Start:
    """The stream has started. Messages can be sent from here on: build an `Encoder`."""

    stream_sid: str
    call_sid: str
    account_sid: str
    #: The `<Parameter>` values of the <Stream> in the TwiML.
    custom_parameters: dict[str, str]
    #: Always `audio/x-mulaw`.
    encoding: str
    #: Hz, always 8000.
    sample_rate: int
    #: Always 1.
    channels: int


Decoded = Media | Start | StreamEnded | MarkEchoed | DigitPressed | None


class _Message(msgspec.Struct, tag_field="event"):
    def decoded(self) -> Decoded:
        """The decoded value; None if the call has no use for this message."""
        return None


class _MediaBody(msgspec.Struct, gc=False):
    payload: str
    timestamp: Any = ""
    track: str = "inbound"


class _Media(_Message, tag="media", gc=False):
    media: _MediaBody

    def decoded(self) -> Media | None:
        body = self.media
        if body.track not in _CALLER_TRACKS:
            return None
        try:
            ulaw: bytes = convert(body.payload, bytes)  # as `base64_decode`, without its call
        except ValueError as error:
            raise ProtocolError(f"Twilio sent media that is not base64: {error}") from None
        return Media(body.payload, ulaw, body.timestamp) if ulaw else None


class _Connected(_Message, tag="connected"):
    pass


class _MediaFormat(msgspec.Struct, rename="camel"):
    encoding: str
    sample_rate: float
    channels: float


class _StartBody(msgspec.Struct, rename="camel"):
    stream_sid: str
    call_sid: str
    account_sid: str
    media_format: _MediaFormat
    custom_parameters: dict[str, str] | None = None


class _Start(_Message, tag="start"):
    start: _StartBody

    def decoded(self) -> Start:
        body = self.start
        sound = body.media_format
        if (sound.encoding, sound.sample_rate, sound.channels) != ("audio/x-mulaw", 8000, 1):
            raise ProtocolError(
                f"Twilio streams {sound.encoding[:60]!r}, {sound.sample_rate:g} Hz, "
                f"{sound.channels:g} channels; expected audio/x-mulaw, 8000 Hz, 1 channel: "
                "remove audioFormat and sampleRate from the <Stream>"
            )
        if not (body.stream_sid and body.call_sid):
            raise ProtocolError("Twilio's start message has no streamSid or no callSid")
        return Start(
            stream_sid=body.stream_sid,
            call_sid=body.call_sid,
            account_sid=body.account_sid,
            custom_parameters=body.custom_parameters or {},
            encoding=sound.encoding,
            sample_rate=int(sound.sample_rate),
            channels=int(sound.channels),
        )


class _MarkBody(msgspec.Struct):
    name: str


class _Mark(_Message, tag="mark"):
    mark: _MarkBody

    def decoded(self) -> MarkEchoed:
        return MarkEchoed(self.mark.name)


class _DtmfBody(msgspec.Struct):
    digit: str


class _Dtmf(_Message, tag="dtmf"):
    dtmf: _DtmfBody

    def decoded(self) -> DigitPressed:
        if self.dtmf.digit not in _DIGITS:
            raise ProtocolError("Twilio sent a dtmf digit other than 0-9 * # A-D")
        return DigitPressed(self.dtmf.digit)


class _Stop(_Message, tag="stop"):
    def decoded(self) -> StreamEnded:
        return StreamEnded("stopped by Twilio")


class _AnyMessage(msgspec.Struct):
    event: str


_known: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(
    _Media | _Connected | _Start | _Mark | _Dtmf | _Stop
)
_any = msgspec.json.Decoder(_AnyMessage)
_EVENTS = frozenset({"media", "connected", "start", "mark", "dtmf", "stop"})
# ValueError covers msgspec's own errors, text that is not UTF-8 and lone surrogates.
_MALFORMED = (ValueError, RecursionError)


def decode(text: str | bytes) -> Decoded:
    """Decodes one message from Twilio. None: the call has no use for it.

    Raises:
        UnknownMessage: the event type is unknown; count the message and ignore it.
        ProtocolError: the message is malformed. No input raises anything else.
    """
    try:
        message = _known.decode(text)
    except _MALFORMED as error:
        raise _decode_error(text, error) from None
    return message.decoded()


def _decode_error(text: str | bytes, error: Exception) -> ProtocolError:
    """Distinguishes an unknown event type from a malformed message. It decodes a second time, which
    is acceptable because errors are rare."""
    try:
        event = _any.decode(text).event
    except _MALFORMED:
        return ProtocolError(f"Twilio sent a malformed media stream message: {error}")
    if event in _EVENTS:
        return ProtocolError(f"Twilio sent a malformed {event} message: {error}")
    return UnknownMessage(event)


class Encoder:
    """Encodes one stream's outgoing messages. `stream_sid`: from its `Start`."""

    def __init__(self, stream_sid: str) -> None:
        sid = json.dumps(stream_sid)
        self._media = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'

    def encode(self, command: ToStream) -> list[str]:
        """The messages of a command. Send them in order.

        The base64 payload of `PlayAudio` is passed on without decoding, in messages of at most
        `LONGEST_FRAME_BYTES`; empty audio gives no message. Twilio documents no limit.
        """
        match command:
            case PlayAudio(payload=payload):
                if 0 < len(payload) <= _LONGEST_FRAME_CHARS:
                    return [f'{self._media}{payload}"}}}}']
                return [
                    f'{self._media}{payload[start : start + _LONGEST_FRAME_CHARS]}"}}}}'
                    for start in range(0, len(payload), _LONGEST_FRAME_CHARS)
                ]
            case SendMark(name=name):
                return [f"{self._mark}{json.dumps(name)}}}}}"]
            case ClearAudio():
                return [self._clear]
