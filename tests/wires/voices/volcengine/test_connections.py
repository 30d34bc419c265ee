"""Which connection a Volcengine line uses for a text: spare, reused, or new; dropped texts."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection

from app.errors import VoiceError
from app.simulator.voices.mouth import Plan, tones
from tests.wires.voices.volcengine.volcengine_line import (
    BOTH,
    HELLO,
    SLOW,
    Transport,
    at_once,
    line_to,
    spoken,
    volcengine,
)
from tests.wires.voices.volcengine.volcengine_peer import Peer, audio, failure, peer, sends

# --- dropped --------------------------------------------------------------------------------------


@BOTH
async def test_a_dropped_text_stops_at_once_and_the_next_one_is_said(transport: Transport) -> None:
    plans = {HELLO: SLOW, "Yes?": Plan()}
    async with (
        volcengine(plan=plans.__getitem__) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        sounds = line.say(HELLO)
        await anext(sounds)
        at_once(sounds)
        assert await spoken(line.say("Yes?")) == tones("Yes?", 8000).pcm
        await stand_in.until(lambda heard: heard.said[0].dropped)
        assert stand_in.heard.said[0].sent_bytes < len(stand_in.heard.said[0].spoken.pcm)
    assert stand_in.heard.connections == 2


@BOTH
async def test_a_text_can_be_dropped_before_its_first_sound(transport: Transport) -> None:
    plan = Plan(fault="stall")
    async with (
        volcengine(plan=lambda _: plan) as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        saying = asyncio.create_task(spoken(line.say(HELLO)))
        await stand_in.until(lambda heard: heard.said)
        saying.cancel()
        await asyncio.wait({saying})
        assert saying.cancelled()
        await stand_in.until(lambda heard: heard.said[0].dropped)


async def test_a_text_can_be_dropped_while_its_connection_is_being_opened() -> None:
    knocked, gone = asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        knocked.set()
        assert await reader.read() == b""
        gone.set()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with line_to(f"ws://127.0.0.1:{port}") as line:
            saying = asyncio.create_task(spoken(line.say(HELLO)))
            await knocked.wait()
            saying.cancel()
            await gone.wait()
            assert saying.cancelled()


async def test_closing_does_not_wait_for_a_missing_close_handshake() -> None:
    frozen, thaw = asyncio.Event(), asyncio.Event()

    async def freezes(server: Peer, socket: ServerConnection) -> None:
        await server.request(socket)
        await socket.send(audio(b"abcd", 1))
        socket.transport.pause_reading()
        frozen.set()
        await thaw.wait()

    async with peer(freezes, sends(audio(b"ab", -1))) as service:
        async with line_to(service.url) as line:
            sounds = line.say(HELLO)
            await anext(sounds)
            await frozen.wait()
            at_once(sounds)
            assert await spoken(line.say(HELLO)) == b"ab"
        # The voice is closed, although the server has not answered the close frame.
        thaw.set()


@BOTH
async def test_a_line_can_be_closed_within_a_text(transport: Transport) -> None:
    async with volcengine(plan=lambda _: SLOW) as stand_in:
        async with line_to(stand_in.url, transport) as line:
            sounds = line.say(HELLO)
            await anext(sounds)
            await line.aclose()
            at_once(sounds)
        await stand_in.until(lambda heard: heard.said[0].dropped)


# --- connections ----------------------------------------------------------------------------------


@BOTH
async def test_a_prepared_connection_says_the_next_text(transport: Transport) -> None:
    async with volcengine() as stand_in, line_to(stand_in.url, transport) as line:
        await asyncio.gather(line.prepare(), line.prepare())
        await line.prepare()
        assert stand_in.heard.connections == 1
        await spoken(line.say(HELLO))
        await line.prepare()
    assert stand_in.heard.connections == 1


async def test_a_text_waits_for_the_connection_that_is_being_prepared() -> None:
    async with volcengine() as stand_in, line_to(stand_in.url) as line:
        preparing = asyncio.create_task(line.prepare())
        await asyncio.gather(preparing, spoken(line.say(HELLO)))
    assert stand_in.heard.connections == 1


async def test_a_spare_connection_says_the_text_after_a_drop() -> None:
    async with volcengine(plan=lambda _: SLOW) as stand_in, line_to(stand_in.url) as line:
        sounds = line.say(HELLO)
        await anext(sounds)
        await line.prepare()
        at_once(sounds)
        sounds = line.say("Yes?")
        await anext(sounds)
        at_once(sounds)
        assert stand_in.heard.connections == 2


@BOTH
async def test_a_failed_prepare_raises_only_in_say(
    transport: Transport,
) -> None:
    async with (
        volcengine(token="another") as stand_in,
        line_to(stand_in.url, transport) as line,
    ):
        await line.prepare()
        with pytest.raises(VoiceError) as failed:
            await spoken(line.say(HELLO))
    assert failed.value.kind == "fatal"


async def test_a_prepared_connection_that_was_closed_is_replaced() -> None:
    async def hangs_up(_told: Peer, _socket: ServerConnection) -> None:
        return

    async with peer(hangs_up, sends(audio(b"ab", -1))) as service, line_to(service.url) as line:
        await line.prepare()
        assert await spoken(line.say(HELLO)) == b"ab"


@BOTH
async def test_a_service_that_takes_one_text_for_each_connection_gets_a_new_one(
    transport: Transport,
) -> None:
    async with volcengine(once=True) as stand_in, line_to(stand_in.url, transport) as line:
        for text in ("One.", "Two.", "Three."):
            assert await spoken(line.say(text)) == tones(text, 8000).pcm
    assert stand_in.heard.connections == 3


@pytest.mark.parametrize(
    "second", [failure(3001, b"one only"), failure(3005, b"busy"), b"?", None], ids=str
)
async def test_a_connection_that_takes_no_second_text_is_replaced(second: bytes | None) -> None:
    async def takes_one(server: Peer, socket: ServerConnection) -> None:
        await server.request(socket)
        await socket.send(audio(b"ab", -1))
        await server.request(socket)
        if second is not None:
            await socket.send(second)
        else:
            socket.transport.abort()

    async with peer(takes_one) as service, line_to(service.url) as line:
        assert await spoken(line.say("One.")) == b"ab"
        assert await spoken(line.say("Two.")) == b"ab"
    assert service.connections == 2
    assert [each["request"]["text"] for each in service.requests] == ["One.", "Two.", "Two."]
    assert len({each["request"]["reqid"] for each in service.requests}) == 3


async def test_a_text_that_fails_after_its_first_sound_is_not_retried() -> None:
    async def breaks_off(server: Peer, socket: ServerConnection) -> None:
        await server.request(socket)
        await socket.send(audio(b"abcd", -1))
        await server.request(socket)
        await socket.send(audio(b"efgh", 1))

    async with peer(breaks_off) as service, line_to(service.url) as line:
        await spoken(line.say("One."))
        heard = b""
        with pytest.raises(VoiceError):
            async for sound in line.say("Two."):
                heard += sound.pcm
    assert heard == b"efgh"
    assert service.connections == 1


async def test_frames_after_the_last_one_are_not_the_next_texts() -> None:
    async def late(server: Peer, socket: ServerConnection) -> None:
        await server.request(socket)
        # In one packet, so that both frames are there when the next text starts.
        with_more = audio(b"ab", -1)
        await asyncio.gather(socket.send(with_more), socket.send(audio(b"XX", 1)))
        await socket.wait_closed()

    async with peer(late, sends(audio(b"cd", -1))) as service, line_to(service.url) as line:
        assert await spoken(line.say("One.")) == b"ab"
        assert await spoken(line.say("Two.")) == b"cd"


async def test_a_rejected_text_is_not_retried() -> None:
    async with peer(sends(audio(b"ab", -1)), sends(audio(b"no", -1))) as service:
        async with line_to(service.url) as line:
            await spoken(line.say(HELLO))
    async with peer(sends(failure(3011, b"illegal input text!"))) as service:
        async with line_to(service.url) as line:
            await line.prepare()
            with pytest.raises(VoiceError) as failed:
                await spoken(line.say(HELLO))
    assert failed.value.kind == "text"
    assert service.connections == 1


async def test_a_used_request_id_is_retried_with_a_new_one() -> None:
    answers = sends(failure(3006, b"duplicated")), sends(audio(b"ab", -1))
    async with peer(*answers) as service, line_to(service.url) as line:
        assert await spoken(line.say(HELLO)) == b"ab"
    first, second = service.requests
    assert first["request"]["reqid"] != second["request"]["reqid"]
