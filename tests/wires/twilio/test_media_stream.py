"""The media stream codec: decoding Twilio's messages, encoding commands."""

import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.call.commands import ClearAudio, PlayAudio, SendMark
from app.call.events import DigitPressed, MarkEchoed, StreamEnded
from app.errors import ProtocolError
from app.wires.twilio.media_stream import (
    LONGEST_FRAME_BYTES,
    Decoded,
    Encoder,
    Media,
    Start,
    UnknownMessage,
    decode,
)

CALL = (Path(__file__).parents[2] / "traffic" / "twilio_call.jsonl").read_text().splitlines()
STREAM_SID = "MZ00112233445566778899aabbccddeeff"


def media(payload: object, track: object = "inbound") -> str:
    return json.dumps(
        {"event": "media", "streamSid": STREAM_SID, "media": {"track": track, "payload": payload}}
    )


def start(**changes: object) -> str:
    sound = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1, **changes}
    body = {"accountSid": "AC1", "streamSid": "MZ1", "callSid": "CA1", "mediaFormat": sound}
    return json.dumps({"event": "start", "streamSid": "MZ1", "start": body})


# --- from Twilio ----------------------------------------------------------------------------------


def test_a_whole_call_is_decoded() -> None:
    heard = [decode(line) for line in CALL]
    assert heard[0] is None
    assert heard[1] == Start(
        stream_sid=STREAM_SID,
        call_sid="CA5d9c2a3f1e7b4c6d8e0f1a2b3c4d5e6f",
        account_sid="AC0123456789abcdef0123456789abcdef",
        custom_parameters={"ticket": "dGlja2V0"},
        encoding="audio/x-mulaw",
        sample_rate=8000,
        channels=1,
    )
    frames = [event for event in heard if isinstance(event, Media)]
    assert [len(frame.ulaw) for frame in frames] == [160] * 5
    assert b64decode(frames[0].payload)[:4] == b"\xff\x7f\xfe\x7e"
    rest = [event for event in heard[2:] if not isinstance(event, Media)]
    assert rest == [MarkEchoed("e1:m7"), DigitPressed("1"), StreamEnded("stopped by Twilio")]


def test_bytes_and_text_decode_alike() -> None:
    assert [decode(line.encode()) for line in CALL] == [decode(line) for line in CALL]


@given(st.binary(min_size=1, max_size=2000))
def test_audio_is_passed_through_with_its_size(audio: bytes) -> None:
    payload = b64encode(audio).decode()
    assert decode(media(payload)) == Media(payload, audio)


@pytest.mark.parametrize("timestamp", ["160", 160, None, {"no": "number"}])
def test_a_timestamp_is_passed_through_unchecked(timestamp: object) -> None:
    body = {"track": "inbound", "payload": "f39/", "timestamp": timestamp}
    assert decode(json.dumps({"event": "media", "media": body})) == Media(
        "f39/", b"\x7f\x7f\x7f", timestamp
    )


@pytest.mark.parametrize(
    "message", [media(""), media("f39/", "outbound"), media("f39/", "outbound_track")]
)
def test_empty_audio_and_the_outbound_track_are_ignored(message: str) -> None:
    assert decode(message) is None


@pytest.mark.parametrize("payload", ["f39", "f3 9/", "f39/\n", "====", "f=39", "é39/", "f39_", "A"])
def test_media_that_is_not_base64_is_refused(payload: str) -> None:
    with pytest.raises(ProtocolError, match="not base64"):
        decode(media(payload))


def test_a_start_without_parameters_has_none() -> None:
    started = decode(start())
    assert isinstance(started, Start)
    assert started.custom_parameters == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoding": "audio/l16"}, "'audio/l16', 8000 Hz, 1 channels"),
        ({"sampleRate": 16000}, "16000 Hz"),
        ({"channels": 2}, "2 channels"),
    ],
)
def test_a_start_in_another_format_is_refused_by_name(
    change: dict[str, object], named: str
) -> None:
    with pytest.raises(ProtocolError, match=named):
        decode(start(**change))


@pytest.mark.parametrize("digit", list("0123456789*#ABCD"))
def test_every_key_of_a_telephone_is_known(digit: str) -> None:
    message = {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": digit}}
    assert decode(json.dumps(message)) == DigitPressed(digit)


@pytest.mark.parametrize("digit", ["", "a", "E", "12", "w", "\u0661", "\u00b2"])
def test_an_invalid_digit_is_rejected(digit: str) -> None:
    with pytest.raises(ProtocolError, match="dtmf"):
        decode(json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}))


def test_an_unknown_event_is_distinguished_from_a_malformed_one() -> None:
    with pytest.raises(UnknownMessage) as unknown:
        decode('{"event":"weather","weather":{}}')
    assert unknown.value.type == "weather"
    with pytest.raises(ProtocolError, match="malformed mark") as malformed:
        decode('{"event":"mark","mark":{}}')
    assert not isinstance(malformed.value, UnknownMessage)


HUGE = "9" * 5000
NASTY = [
    "",
    " ",
    "null",
    "[]",
    '"media"',
    "12",
    "{}",
    '{"event":null}',
    '{"event":5}',
    '{"event":{"event":"media"}}',
    '{"event":"media"}',
    '{"event":"media","media":null}',
    '{"event":"media","media":{"payload":7}}',
    '{"event":"media","media":{"track":7,"payload":"f39/"}}',
    CALL[2][:-30],
    CALL[1][:-30],
    CALL[2] + "x",
    '{"event":"media","media":{"payload":"\\ud800"}}',
    '{"event":"mark","mark":{"name":"\\ud800"}}',
    '{"event":"mark","mark":{"name":"\ud800"}}',
    "\ud800",
    "\x00",
    "\ufeff{}",
    '{"event":"start","start":{}}',
    start(sampleRate="8000"),
    start(sampleRate=None),
    start(channels=True),
    start(sampleRate=8000.5),
    start(encoding="x" * 100_000),
    start().replace("8000", HUGE),
    start().replace("8000", "1e400"),
    start().replace("8000", "-8000"),
    start().replace('"MZ1", "callSid"', '"", "callSid"'),
    start().replace('"CA1"', '""'),
    start().replace('"CA1"', "null"),
    start()[:-2] + ',"customParameters":{"ticket":5}}}',
    start()[:-2] + ',"customParameters":["ticket"]}}',
    "[" * 100_000,
    '{"event":"mark","mark":' + '{"mark":' * 100_000,
    '{"event":"mark","x":' + "[" * 100_000 + "]" * 100_000 + ',"mark":{"name":"m"}}',
]
NASTY_BYTES = [
    b"\xff\xfe",
    b"\x00" * 100,
    b'{"event":"mark","mark":{"name":"\xff"}}',
    b'{"event":"\xff"}',
    b'{"event":"media","media":{"payload":"\xc3"}}',
    CALL[1].encode("utf-16"),
    b"\x81\x05hello",
]


@pytest.mark.parametrize("message", [*NASTY, *NASTY_BYTES], ids=range(len(NASTY + NASTY_BYTES)))
def test_garbage_raises_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode(message)
    assert not isinstance(refused.value, UnknownMessage)
    assert len(str(refused.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
EVENTS = ["media", "start", "mark", "dtmf", "stop", "connected", "weather"]
LIKELY = st.fixed_dictionaries(
    {"event": st.sampled_from(EVENTS)},
    optional={
        "media": JSON | st.fixed_dictionaries({"payload": JSON | st.text()}),
        "start": JSON | st.fixed_dictionaries({"mediaFormat": JSON, "callSid": JSON}),
        "mark": JSON | st.fixed_dictionaries({"name": JSON}),
        "dtmf": JSON | st.fixed_dictionaries({"digit": JSON | st.text(max_size=1)}),
    },
)


def decodes_or_refuses(message: str | bytes) -> Decoded:
    try:
        return decode(message)
    except ProtocolError:
        return None


@settings(max_examples=300)
@given(st.text() | st.binary() | (JSON | LIKELY).map(json.dumps))
def test_no_message_raises_any_other_error(message: str | bytes) -> None:
    decodes_or_refuses(message)


@given(st.data())
def test_a_damaged_message_raises_no_other_error(data: st.DataObject) -> None:
    message = bytearray(data.draw(st.sampled_from(CALL)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(message))


# --- to Twilio ------------------------------------------------------------------------------------


def play(audio: bytes) -> PlayAudio:
    return PlayAudio("item_A", b64encode(audio).decode(), len(audio))


def test_messages_are_encoded_as_twilio_documents_them() -> None:
    encoder = Encoder("MZ1")
    assert encoder.encode(PlayAudio("item_A", "f39/fn5+", 6)) == [
        '{"event":"media","streamSid":"MZ1","media":{"payload":"f39/fn5+"}}'
    ]
    assert encoder.encode(SendMark("e1:m7")) == [
        '{"event":"mark","streamSid":"MZ1","mark":{"name":"e1:m7"}}'
    ]
    assert encoder.encode(ClearAudio(dropped_bytes=0)) == ['{"event":"clear","streamSid":"MZ1"}']


@given(st.text(), st.text())
def test_names_are_escaped(stream_sid: str, name: str) -> None:
    encoder = Encoder(stream_sid)
    [mark] = map(json.loads, encoder.encode(SendMark(name)))
    [clear] = map(json.loads, encoder.encode(ClearAudio(dropped_bytes=0)))
    assert mark == {"event": "mark", "streamSid": stream_sid, "mark": {"name": name}}
    assert clear == {"event": "clear", "streamSid": stream_sid}


@given(st.integers(1, 30_000))
def test_long_audio_is_split_into_messages_without_loss(size_bytes: int) -> None:
    audio = bytes(index % 251 for index in range(size_bytes))
    frames = [
        b64decode(json.loads(message)["media"]["payload"], validate=True)
        for message in Encoder("MZ1").encode(play(audio))
    ]
    assert b"".join(frames) == audio
    assert len(frames) == -(-size_bytes // LONGEST_FRAME_BYTES)
    assert max(map(len, frames)) <= LONGEST_FRAME_BYTES < 8000  # a second


def test_empty_audio_is_not_sent() -> None:
    assert Encoder("MZ1").encode(play(b"")) == []
