"""Nonsense on a live call: it is counted, and the call goes on."""

import base64
import json
import random
from collections.abc import Callable
from typing import Any

from app.simulator.realtime import Reply, Script, Session
from tests.service.raw_twilio import CALL_SID, STREAM_SID, RawStream, raw_stream, request
from tests.service.world import World, noise, world

INF = float("inf")
COUNT = 500
HELLO = Reply("Hello.", audio=noise(40, "hello"), speed=INF)
ANSWER = Reply("Still here.", audio=noise(60, "answer"), speed=INF)

Message = str | bytes


def cut(text: str, rng: random.Random) -> str:
    """A JSON text that breaks off somewhere."""
    return text[: rng.randrange(1, len(text))]


def bad_twilio(rng: random.Random) -> Message:
    """A message that Twilio never sends."""
    media = {"event": "media", "streamSid": STREAM_SID, "media": {"payload": "/////w=="}}
    kinds: list[Callable[[], Message]] = [
        lambda: rng.randbytes(rng.randrange(1, 200)) + b"\xff",
        lambda: cut(json.dumps(media), rng),
        lambda: rng.choice(["", "null", "[]", "7", '"media"', "{}", "nonsense", "[" * 5000]),
        lambda: json.dumps({**media, "event": rng.choice([None, 1, [], {}, True])}),
        lambda: json.dumps({**media, "event": rng.choice(["MEDIA", "", "hangup", "x" * 500])}),
        lambda: json.dumps({"event": rng.choice(["media", "start", "mark", "dtmf"])}),
        lambda: json.dumps({**media, "media": rng.choice([None, 1, [], "x", {}, {"payload": 1}])}),
        lambda: json.dumps(
            {**media, "media": {"payload": rng.choice(["a", "====", "ä", "AA AA"])}}
        ),
        lambda: json.dumps({"event": "dtmf", "dtmf": {"digit": rng.choice(["", "12", "E", "١"])}}),
        lambda: json.dumps({"event": "mark", "mark": {"name": rng.choice([None, 1, [], {}])}}),
        lambda: '{"event":"mark","mark":{"name":1e999999}}',
        lambda: f'{{"event":"dtmf","dtmf":{{"digit":{"9" * 400}}}}}',
        lambda: json.dumps({"event": "start", "start": {"streamSid": "", "callSid": CALL_SID}}),
        lambda: '{"event":"mark","mark":{"name":"\\ud800"}',
    ]
    return rng.choice(kinds)()


def bad_realtime(rng: random.Random) -> Message:
    """An event that the model never sends, or an unknown one."""
    delta = {
        "type": "response.output_audio.delta",
        "event_id": "e",
        "response_id": "r",
        "item_id": "i",
        "delta": "/////w==",
    }
    done: dict[str, Any] = {"type": "response.done", "response": {"id": "r", "status": "completed"}}
    kinds: list[Callable[[], Message]] = [
        lambda: rng.randbytes(rng.randrange(1, 200)) + b"\xff",
        lambda: cut(json.dumps(delta), rng),
        lambda: rng.choice(["", "null", "[]", "7", '"x"', "{}", "nonsense", "[" * 5000]),
        lambda: json.dumps({**delta, "type": rng.choice([None, 1, [], {}, True])}),
        lambda: json.dumps({**delta, "type": rng.choice(["response.dreamt", "", "x" * 500])}),
        lambda: json.dumps({**delta, "delta": rng.choice([None, 1, [], {}, "a", "====", "AA AA"])}),
        lambda: json.dumps({**delta, "item_id": rng.choice([None, 1, [], {}])}),
        lambda: json.dumps({"type": rng.choice(["error", "response.done", "session.updated"])}),
        lambda: json.dumps({**done, "response": rng.choice([None, 1, [], {"id": 1}])}),
        lambda: json.dumps({"type": "input_audio_buffer.speech_started", "item_id": 7}),
        lambda: (
            '{"type":"input_audio_buffer.speech_started","item_id":"i","audio_start_ms":1e999999}'
        ),
        lambda: (
            '{"type":"input_audio_buffer.speech_stopped","item_id":"i","audio_end_ms":'
            f"{'9' * 400}}}"
        ),
        lambda: (
            '{"type":"response.done","response":{"id":"r","status":"completed",'
            '"usage":{"input_token_details":{"text_tokens":1e300}}}}'
        ),
        lambda: '{"type":"response.dreamt","text":"\\ud800"',
    ]
    return rng.choice(kinds)()


async def media_of(stream: RawStream, size_bytes: int) -> bytes:
    """The next audio that the service plays, so much of it."""
    audio = b""
    while len(audio) < size_bytes:
        message = await stream.receive()
        if message["event"] == "media":
            audio += base64.b64decode(message["media"]["payload"])
    return audio


async def speak(stream: RawStream, session: Session, audio: bytes) -> None:
    payload = base64.b64encode(audio).decode()
    await stream.send({"event": "media", "media": {"track": "inbound", "payload": payload}})
    await session.until(lambda s: s.heard.endswith(audio))


async def a_whole_turn(w: World, stream: RawStream, session: Session) -> None:
    """The caller asks, and hears the answer."""
    await speak(stream, session, noise(100, "question"))
    session.start_speech()
    session.stop_speech("Are you there?")
    assert await media_of(stream, len(ANSWER.audio or b"")) == ANSWER.audio
    await stream.send({"event": "stop", "stop": {"callSid": CALL_SID}})
    assert await stream.close_code() == 1000
    await session.closed.wait()
    await w.settled()
    record = await w.record(CALL_SID)
    assert "Are you there?" in [turn["text"] for turn in record["transcript"]]
    assert record["ended_by"] == "caller"


def assert_each_was_logged_once(w: World, sender: str) -> None:
    logged = [line for line in w.log.of("message ignored") if line["sender"] == sender]
    assert [line["count"] for line in logged] == list(range(1, COUNT + 1))
    assert all(line["call_sid"] == CALL_SID for line in logged)
    assert len(w.log.of("message ignored")) == COUNT


async def test_nonsense_from_twilio_does_not_end_a_call() -> None:
    rng = random.Random(11)
    async with world(Script(HELLO, ANSWER)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            await stream.start()
            session = await w.model.session()
            assert await media_of(stream, len(HELLO.audio or b"")) == HELLO.audio
            for _ in range(COUNT):
                message = bad_twilio(rng)
                if isinstance(message, bytes):
                    await stream.socket.send_bytes(message)
                else:
                    await stream.socket.send_str(message)
            await a_whole_turn(w, stream, session)
        assert_each_was_logged_once(w, "Twilio")
        assert not session.errors_sent


async def test_nonsense_from_the_model_does_not_end_a_call() -> None:
    rng = random.Random(12)
    async with world(Script(HELLO, ANSWER)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            await stream.start()
            session = await w.model.session()
            assert await media_of(stream, len(HELLO.audio or b"")) == HELLO.audio
            for _ in range(COUNT):
                session.send_raw(bad_realtime(rng))
            await a_whole_turn(w, stream, session)
        assert_each_was_logged_once(w, "the model")
        assert len(w.model.sessions) == 1


async def test_well_formed_events_about_things_unknown_do_not_end_a_call() -> None:
    unknown: list[dict[str, Any]] = [
        {"type": "response.done", "response": {"id": "r", "status": "completed"}},
        {"type": "response.done", "response": {"id": "r", "status": "failed"}},
        {"type": "response.output_item.done", "response_id": "r", "output_index": 0,
         "item": {"id": "i", "type": "message", "status": "completed", "role": "assistant"}},
        {"type": "response.output_audio_transcript.done", "item_id": "i", "transcript": "?"},
        {"type": "conversation.item.truncated", "item_id": "i", "audio_end_ms": 5},
        {"type": "conversation.item.deleted", "item_id": "i"},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "i",
         "transcript": ""},
        {"type": "input_audio_buffer.committed", "item_id": "j", "previous_item_id": "k"},
        {"type": "error", "error": {"type": "invalid_request_error", "message": "?"}},
        {"type": "error", "error": {"code": "conversation_already_has_active_response",
                                    "message": "", "event_id": "bridge_99"}},
        {"type": "session.updated", "session": {}},
        {"type": "rate_limits.updated", "rate_limits": []},
    ]  # fmt: skip
    async with world(Script(HELLO, ANSWER, ANSWER)) as w:
        url = (await request(w)).stream_url
        async with raw_stream(w, url) as stream:
            await stream.start()
            session = await w.model.session()
            assert await media_of(stream, len(HELLO.audio or b"")) == HELLO.audio
            for event in unknown:
                session.send_raw(json.dumps(event))
            await stream.send({"event": "mark", "mark": {"name": "an unknown mark"}})
            await speak(stream, session, noise(100, "question"))
            session.start_speech()
            session.stop_speech("Are you there?")
            assert await media_of(stream, len(ANSWER.audio or b"")) == ANSWER.audio
            assert not w.log.of("message ignored")
