"""Failures of Qwen within a text: the kind of the VoiceError, and what happens to the session."""

import asyncio
import json
from base64 import b64encode
from contextlib import aclosing, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection

from app.errors import VoiceError
from app.simulator.voices.mouth import Plan, tones
from app.simulator.voices.qwen import QwenStandIn
from app.wires.voices.connect import LARGEST_MESSAGE_BYTES
from app.wires.voices.qwen import session as qwen_session
from tests.wires.voices.qwen.qwen_scripted import (
    HELLO,
    SOUND,
    Script,
    begin,
    delta,
    done,
    fail,
    failure,
    heard,
    line_to,
    receive,
    say_it,
    scripted,
    send,
    settle,
    take_text,
)

pytestmark = pytest.mark.usefixtures("no_task_outlives_its_test")


# --- within a text --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error", "drop", "refuse"])
@pytest.mark.parametrize("after_bytes", [0, 4001])
@pytest.mark.parametrize("mode", ["commit", "server_commit"])
async def test_a_failed_text_keeps_its_sound_and_the_next_is_said(
    fault: Any, after_bytes: int, mode: Any
) -> None:
    plan = Plan(fault=fault, fault_after_bytes=after_bytes)
    whole = tones(HELLO, 8000).pcm
    so_far = b""
    async with (
        QwenStandIn(plan=lambda text: plan if text == HELLO else Plan()) as qwen,
        line_to(qwen.url, mode=mode) as line,
    ):
        with pytest.raises(VoiceError) as error:
            async with aclosing(line.say(HELLO)) as sounds:
                async for sound in sounds:
                    so_far += sound.pcm
        assert error.value.kind == "passing"
        assert so_far == (b"" if fault == "refuse" else whole[: after_bytes & ~1])
        assert (await heard(line, "And on."))[0] == tones("And on.", 8000).pcm


async def bad_code(socket: ServerConnection) -> None:
    await fail(socket, "DataInspectionFailed", f"inappropriate: {HELLO}")


async def no_account(socket: ServerConnection) -> None:
    await fail(socket, "Arrearage", "the account owes")


async def failed_response(socket: ServerConnection) -> None:
    await done(socket, status="failed")


async def half_response(socket: ServerConnection) -> None:
    await done(socket, status="incomplete")


async def early_finish(socket: ServerConnection) -> None:
    await send(socket, "session.finished")


async def early_close(socket: ServerConnection) -> None:
    await socket.close(1000)


async def broken(socket: ServerConnection) -> None:
    socket.transport.abort()


async def binary(socket: ServerConnection) -> None:
    await socket.send(SOUND)


async def no_json(socket: ServerConnection) -> None:
    await socket.send(f"{HELLO} is no JSON")


async def no_type(socket: ServerConnection) -> None:
    await socket.send('{"delta": "AAAA"}')


async def no_base64(socket: ServerConnection) -> None:
    await send(socket, "response.audio.delta", response_id="resp_1", delta="***")


async def too_large(socket: ServerConnection) -> None:
    await socket.send('{"type": "' + "x" * LARGEST_MESSAGE_BYTES + '"}')


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (bad_code, "text"),
        (no_account, "fatal"),
        (failed_response, "passing"),
        (half_response, "passing"),
        (early_finish, "passing"),
        (early_close, "passing"),
        (broken, "passing"),
        (binary, "passing"),
        (no_json, "passing"),
        (no_type, "passing"),
        (no_base64, "passing"),
        (too_large, "passing"),
    ],
)
async def test_every_failure_within_a_text_has_a_kind_and_closes_the_session(
    wrong: Script, kind: str
) -> None:
    ended = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        try:
            await settle(socket)
            await take_text(socket)
            await begin(socket)
            await delta(socket, SOUND)
            await wrong(socket)
            await socket.wait_closed()
        finally:
            ended.set()

    async with scripted(script, say_it) as url, line_to(url) as line:
        assert (await failure(line)).kind == kind
        await ended.wait()
        assert await heard(line) == (SOUND, 8000)


async def test_a_large_event_is_received() -> None:
    large = bytes(4 << 20)  # above the default limit of WebSocket libraries

    async def script(socket: ServerConnection) -> None:
        await settle(socket)
        await take_text(socket)
        await begin(socket)
        await delta(socket, large)
        await done(socket)
        await socket.wait_closed()

    async with scripted(script) as url, line_to(url) as line:
        assert await heard(line) == (large, 8000)


async def test_late_sound_of_a_text_is_not_in_the_next() -> None:
    async def script(socket: ServerConnection) -> None:
        await settle(socket)
        await take_text(socket)
        await begin(socket)
        await delta(socket, SOUND)
        await done(socket)
        await delta(socket, b"late")
        await take_text(socket)
        await delta(socket, b"late")
        await begin(socket, "resp_2")
        await delta(socket, b"late")
        await delta(socket, SOUND[:4], "resp_2")
        await done(socket)
        await done(socket, "resp_2")
        await socket.wait_closed()

    async with scripted(script) as url, line_to(url) as line:
        assert await heard(line) == (SOUND, 8000)
        first = line.session_id
        assert await heard(line) == (SOUND[:4], 8000)
        assert line.session_id == first


async def test_a_server_without_a_close_handshake_is_aborted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qwen_session, "CLOSE_S", 0.05)

    async def deaf(socket: ServerConnection) -> None:
        await settle(socket)
        await take_text(socket)
        socket.transport.pause_reading()
        await begin(socket)
        await delta(socket, SOUND)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await socket.wait_closed()
        socket.transport.abort()

    async with scripted(deaf, say_it) as url, line_to(url) as line:
        async with aclosing(line.say(HELLO)) as sounds:
            assert (await anext(sounds)).pcm == SOUND
        assert await heard(line) == (SOUND, 8000)


async def test_events_after_the_close_frame_are_discarded() -> None:
    async def chatter(socket: ServerConnection) -> None:
        await settle(socket)
        await take_text(socket)
        await begin(socket)
        while True:
            await delta(socket, SOUND)

    async with scripted(chatter, say_it) as url, line_to(url) as line:
        async with aclosing(line.say(HELLO)) as sounds:
            for _ in range(100):
                assert (await anext(sounds)).pcm == SOUND
        assert await heard(line) == (SOUND, 8000)


# --- any server -----------------------------------------------------------------------------------

IDS = st.sampled_from(["resp_1", "resp_2"]) | st.none()
PIECES = st.binary(max_size=9).map(lambda pcm: b64encode(pcm).decode()) | st.text(max_size=4)
EVENTS = st.one_of(
    st.builds(lambda r: {"type": "response.created", "response": {"id": r}}, IDS),
    st.builds(
        lambda r, d: {"type": "response.audio.delta", "response_id": r, "delta": d}, IDS, PIECES
    ),
    st.builds(
        lambda r, s: {"type": "response.done", "response": {"id": r, "status": s}},
        IDS,
        st.sampled_from(["completed", "failed", "in_progress", None]),
    ),
    st.builds(lambda c: {"type": "error", "error": {"code": c}}, st.text(max_size=9) | st.none()),
    st.sampled_from([{"type": "session.finished"}, {"type": "session.updated"}, {"type": "new"}]),
    st.dictionaries(st.sampled_from(["type", "delta"]), st.none() | st.integers() | st.text()),
)
FRAMES = EVENTS.map(json.dumps) | st.text(max_size=9) | st.binary(max_size=9)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(FRAMES, max_size=12), mode=st.sampled_from(["commit", "server_commit"]))
async def test_any_server_gives_sound_or_voice_error(frames: list[str | bytes], mode: Any) -> None:
    async def babble(socket: ServerConnection) -> None:
        await settle(socket)
        await receive(socket, "input_text_buffer.append")
        for frame in frames:
            await socket.send(frame)

    async with scripted(babble, say_it) as url, line_to(url, mode=mode) as line:
        try:
            async with aclosing(line.say(HELLO)) as sounds:
                async for sound in sounds:
                    assert sound.pcm and len(sound.pcm) % 2 == 0 and sound.hz == 8000
        except VoiceError:
            pass
