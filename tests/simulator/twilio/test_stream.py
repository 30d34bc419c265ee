"""A call's media stream over a real socket, byte for byte as Twilio sends it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from app.simulator.twilio import Call, CallEnded, Network, PhoneLine
from tests.simulator.twilio.twilio_bridge import PUBLIC, STREAM, TOKEN, Leg, TinyBridge, tiny_bridge

CONNECT = f"<Connect>{STREAM}</Connect>"


@pytest.fixture
async def bridge() -> AsyncIterator[TinyBridge]:
    async with tiny_bridge() as bridge:
        bridge.answer("/incoming-call", CONNECT)
        yield bridge


@pytest.fixture
async def line(bridge: TinyBridge) -> AsyncIterator[PhoneLine]:
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=PUBLIC) as line:
        yield line


async def connected(line: PhoneLine, bridge: TinyBridge) -> tuple[Call, Leg]:
    call = await line.call()
    leg = await bridge.leg()
    await call.wait_connected()
    return call, leg


def ulaw(size_ms: int, fill: int = 1) -> bytes:
    return bytes([fill]) * (size_ms * 8)


async def test_a_stream_begins_with_connected_and_start(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer(
        "/incoming-call",
        '<Connect><Stream url="wss://bridge.example.com/media-stream">'
        '<Parameter name="token" value="a&amp;b"/><Parameter name="empty" value=""/>'
        "</Stream></Connect>",
    )
    call, leg = await connected(line, bridge)
    assert leg.messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert leg.messages[1] == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": call.stream_sid,
        "start": {
            "accountSid": line.account_sid,
            "streamSid": call.stream_sid,
            "callSid": call.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": "a&b", "empty": ""},
        },
    }
    assert call.status == "in-progress"


async def test_the_handshake_is_signed_for_the_public_wss_url(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    _, leg = await connected(line, bridge)
    url = "wss://bridge.example.com/media-stream"
    assert leg.path == "/media-stream"
    assert leg.headers["Host"] == "bridge.example.com"
    assert leg.headers["X-Forwarded-Proto"] == "https"
    assert RequestValidator(TOKEN).validate(url, {}, leg.headers["x-twilio-signature"])


async def test_silence_flows_in_numbered_frames_of_20_ms(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    await leg.until(lambda: len(leg.of("media")) >= 10)
    for number, message in enumerate(leg.of("media")[:10], start=1):
        assert message == {
            "event": "media",
            "sequenceNumber": str(number + 1),
            "streamSid": call.stream_sid,
            "media": {
                "track": "inbound",
                "chunk": str(number),
                "timestamp": str(number * 20),
                "payload": base64.b64encode(b"\xff" * 160).decode(),
            },
        }


async def test_speech_is_sent_in_frames_and_the_last_one_is_padded(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    call.say(ulaw(30, 1))
    call.say(ulaw(25, 2))
    await call.wait_spoken()
    await leg.until(lambda: b"\x02" in _caller_audio(leg)[:-160])
    spoken = _caller_audio(leg).strip(b"\xff")
    assert spoken == ulaw(30, 1) + ulaw(25, 2)
    assert all(len(frame) == 160 for frame in _frames(leg))
    (span,) = call.voice.spans
    assert span[1] - span[0] >= 20, "a late first frame is followed by the others at once"


async def test_keys_and_marks_share_the_sequence_with_the_audio(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    call.press("#")
    await leg.mark("m1")
    await leg.until(lambda: "dtmf" in leg.events and "mark" in leg.events)
    dtmf, mark = leg.of("dtmf")[0], leg.of("mark")[0]
    assert dtmf["dtmf"] == {"track": "inbound_track", "digit": "#"}
    assert mark["mark"] == {"name": "m1"}
    assert dtmf["streamSid"] == mark["streamSid"] == call.stream_sid
    sequence = [message["sequenceNumber"] for message in leg.messages[1:]]
    assert sequence == [str(number) for number in range(1, len(sequence) + 1)]
    with pytest.raises(ValueError, match="not a key"):
        call.press("12")


async def test_a_mark_is_echoed_once_its_audio_has_played(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    await leg.play(ulaw(60, 1))
    await leg.mark("first")
    await leg.play(ulaw(40, 2))
    await leg.mark("second")
    await leg.until(lambda: leg.marks == ["first", "second"])
    assert call.heard == ulaw(60, 1) + ulaw(40, 2)
    first, second = call.playback.marks
    assert first.echoed_ms is not None and second.echoed_ms is not None
    assert first.echoed_ms - call.playback.media[0].starts_ms >= 60
    assert second.echoed_ms - call.playback.media[0].starts_ms >= 100


async def test_a_clear_stops_the_audio_and_echoes_every_mark(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    await leg.play(ulaw(30_000))
    await leg.mark("a")
    await leg.mark("b")
    await call.wait_heard(800)
    await leg.order("clear")
    await leg.until(lambda: leg.marks == ["a", "b"])
    (cleared,) = call.playback.clears
    assert cleared.flushed_marks == ("a", "b")
    heard_ms = cleared.at_ms - call.playback.media[0].starts_ms
    assert len(call.heard) == int(heard_ms * 8 + 1e-4)
    assert len(call.heard) + cleared.dropped_bytes == 240_000
    await leg.play(ulaw(20, 2))
    await call.wait_heard(len(call.heard) + 160)
    assert call.heard.endswith(ulaw(20, 2))


async def test_hanging_up_sends_stop_and_closes(line: PhoneLine, bridge: TinyBridge) -> None:
    call, leg = await connected(line, bridge)
    await leg.play(ulaw(10_000))
    await leg.mark("never")
    await call.wait_heard(80)
    call.hang_up()
    assert call.status == "completed"
    await leg.closed.wait()
    await call.wait_ended()
    assert leg.events[-1] == "stop"
    assert leg.messages[-1]["stop"] == {"accountSid": line.account_sid, "callSid": call.call_sid}
    assert leg.socket.close_code == 1000
    assert leg.marks == []
    assert len(call.heard) < 80_000
    assert call.errors == []
    with pytest.raises(CallEnded):
        await call.wait_heard(80_000)


async def test_a_dropped_socket_sends_no_stop_and_no_close_frame(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    await call.drop()
    await leg.closed.wait()
    assert leg.socket.close_code == 1006
    assert "stop" not in leg.events
    await call.wait_ended()
    assert call.error_codes == [31903]


async def test_a_bridge_that_closes_the_stream_continues_with_the_next_verb(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    bridge.answer("/incoming-call", CONNECT + "<Say>Please hold</Say>" + CONNECT)
    call, leg = await connected(line, bridge)
    await leg.socket.close()
    second = await bridge.leg()
    await call.wait_connected(2)
    assert call.said == ["Please hold"]
    assert second.stream_sid != leg.stream_sid
    assert call.stream_sid == second.stream_sid
    assert second.messages[1]["sequenceNumber"] == "1"
    assert call.error_codes == [31921]


MEDIA = {"event": "media", "media": {"payload": "/w=="}}


@pytest.mark.parametrize(
    "message",
    [
        "not json",
        "[1]",
        {"event": "hello"},
        {"event": "media"},
        {"event": "media", "media": {"payload": 7}},
        {"event": "media", "media": {"payload": "a"}},
        {"event": "media", "media": {"payload": "/w==\n"}},
        {"event": "media", "media": {"payload": base64.b64encode(b"RIFFxxxx").decode()}},
        {"event": "mark", "mark": {}},
        {**MEDIA, "streamSid": None},
        {**MEDIA, "streamSid": "MZother"},
    ],
)
async def test_an_invalid_message_ends_the_stream(
    line: PhoneLine, bridge: TinyBridge, message: str | dict[str, Any]
) -> None:
    call, leg = await connected(line, bridge)
    if isinstance(message, str):
        await leg.socket.send_str(message)
    else:
        await leg.socket.send_json({"streamSid": leg.stream_sid, **message})
    await leg.closed.wait()
    await call.wait_ended()
    assert call.error_codes == [31924]


async def test_media_of_any_size_and_unknown_keys_are_accepted(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    await leg.order("media", media={"payload": "AQ==", "track": "outbound"}, more=1)
    await call.wait_heard(1)
    assert call.heard == b"\x01"
    assert call.errors == []


async def test_more_than_ten_minutes_of_audio_are_discarded_with_one_warning(
    line: PhoneLine, bridge: TinyBridge
) -> None:
    call, leg = await connected(line, bridge)
    for _ in range(14):
        await leg.play(ulaw(50_000))
    await leg.order("clear")
    await call.wait_for(lambda: bool(call.playback.clears))
    assert call.error_codes == [31931]
    assert len(call.playback.media) == 12
    assert len(call.playback.discarded) == 2


async def test_hanging_up_while_it_rings(line: PhoneLine, bridge: TinyBridge) -> None:
    bridge.hold_webhooks = True
    call = line.ring()
    await bridge.holding.wait()
    call.hang_up()
    await call.wait_ended()
    assert call.status == "no-answer"
    assert call.duration_s() == 0


async def test_a_bridge_that_does_not_listen() -> None:
    async with tiny_bridge() as bridge:
        url = bridge.url
    async with PhoneLine(url) as line:
        call = await line.call()
        await call.wait_ended()
        assert call.error_codes == [11200]


async def test_jitter_reorders_nothing_in_either_direction(bridge: TinyBridge) -> None:
    network = Network(delay_ms=30, jitter_ms=25, seed=7)
    async with PhoneLine(bridge.url, public_url=PUBLIC, network=network) as line:
        call, leg = await connected(line, bridge)
        for number in range(30):
            await leg.play(bytes([number]) * 8)
            await leg.mark(f"m{number}")
        await leg.until(lambda: len(leg.marks) == 30)
        assert leg.marks == [f"m{number}" for number in range(30)]
        assert call.heard == b"".join(bytes([number]) * 8 for number in range(30))
        sequence = [int(message["sequenceNumber"]) for message in leg.messages[1:]]
        assert sequence == list(range(1, len(sequence) + 1))
        call.hang_up()
        await leg.closed.wait()
        assert leg.events[-1] == "stop"


async def test_a_mark_measures_the_round_trip(bridge: TinyBridge) -> None:
    network = Network(delay_ms=60)
    async with PhoneLine(bridge.url, public_url=PUBLIC, network=network) as line:
        _, leg = await connected(line, bridge)
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        await leg.mark("now")
        await leg.until(lambda: leg.marks == ["now"])
        assert loop.time() - sent_s >= 0.119


async def test_leaving_the_line_leaves_no_task(bridge: TinyBridge) -> None:
    before = asyncio.all_tasks()
    async with PhoneLine(bridge.url, auth_token=TOKEN, public_url=PUBLIC) as line:
        legs = [(await connected(line, bridge))[1] for _ in range(3)]
    for leg in legs:
        await leg.closed.wait()
        assert leg.events[-1] == "stop"
    ours = {task for task in asyncio.all_tasks() - before if "simulator" in repr(task)}
    assert ours == set()


async def test_a_caller_follows_a_script(line: PhoneLine, bridge: TinyBridge) -> None:
    async def impatient(call: Call) -> None:
        await call.wait_connected()
        call.press("0")
        await call.wait_heard(160)
        call.hang_up()

    call = line.ring(caller=impatient)
    leg = await bridge.leg()
    await leg.until(lambda: "dtmf" in leg.events)
    await leg.play(ulaw(1000))
    await call.wait_ended()
    assert 160 <= len(call.heard) < 8000


async def test_a_script_that_fails_fails_the_test(bridge: TinyBridge) -> None:
    async def confused(call: Call) -> None:
        raise LookupError("what did I want to say?")

    with pytest.raises(ExceptionGroup) as failure:
        async with PhoneLine(bridge.url) as line:
            line.ring(caller=confused)
    assert failure.group_contains(LookupError)


def _frames(leg: Leg) -> list[bytes]:
    return [base64.b64decode(message["media"]["payload"]) for message in leg.of("media")]


def _caller_audio(leg: Leg) -> bytes:
    return b"".join(_frames(leg))
